-- What the engine says of each install, as lists filter by it and the overview counts it.
--
-- A beat writes here only when what the engine says changes, so that these indexes cost an undisturbed fleet nothing. What
-- time alone changes is found by due_at: whoever sweeps judges those installs again. What an operator changes about
-- many installs at once is a row of restatements, which the sweep works off.

-- What install_states says of it: state, rule, reason and status, a space between. Unindexed, and read with everything
-- else that a judgement reads.
ALTER TABLE installs ADD COLUMN shown text NOT NULL DEFAULT '';

CREATE TABLE install_states (
    install_id uuid PRIMARY KEY REFERENCES installs ON UPDATE CASCADE ON DELETE CASCADE,
    license_id uuid NOT NULL,
    state text NOT NULL,
    rule smallint NOT NULL CHECK (rule BETWEEN 1 AND 14),
    reason text NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'pending', 'suspended', 'deactivated', 'revoked')),
    -- When it has to be judged again; null: nothing changes by time.
    due_at timestamptz,
    -- When it falls a rung that another beat doesn't hold it back from.
    falls_at timestamptz,
    -- It was heard of then, or later.
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 90);

CREATE INDEX install_states_license ON install_states (license_id, install_id);
CREATE INDEX install_states_license_state ON install_states (license_id, state, install_id);
CREATE INDEX install_states_state ON install_states (state, install_id);
CREATE INDEX install_states_status ON install_states (status, install_id);
CREATE INDEX install_states_due ON install_states (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX install_states_falls ON install_states (falls_at) WHERE falls_at IS NOT NULL;
CREATE INDEX install_states_seen ON install_states (seen_at);

-- Every install has its row from the beginning, whichever server makes it.
CREATE FUNCTION state_new_install() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO install_states (install_id, license_id, state, rule, reason, status, due_at, seen_at)
    VALUES (NEW.id, NEW.license_id, 'pending', 6, 'awaiting_approval', 'pending', '-infinity', NEW.last_contact);
    RETURN NULL;
END
$$;

CREATE TRIGGER installs_are_stated AFTER INSERT ON installs FOR EACH ROW EXECUTE FUNCTION state_new_install();

INSERT INTO install_states (install_id, license_id, state, rule, reason, status, due_at, seen_at)
SELECT id, license_id, 'pending', 6, 'awaiting_approval', 'pending', '-infinity', last_contact FROM installs;

-- Installs that have to be judged again because of their license or its profile, from the id on that they are to
-- continue with.
CREATE TABLE restatements (
    id uuid PRIMARY KEY,
    license_id uuid,
    profile_id uuid,
    after_install uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    created_at timestamptz NOT NULL,
    CHECK ((license_id IS NULL) <> (profile_id IS NULL))
);

-- When the last sweep was, and what it counted.
CREATE TABLE sweeps (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    swept_at timestamptz NOT NULL,
    -- How many installs there are of each state.
    installs json NOT NULL
);
INSERT INTO sweeps (swept_at, installs) VALUES ('-infinity', '{}');
