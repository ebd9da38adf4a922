-- What is noted of installs' silence, so that a healthy fleet costs no row: each is looked at every twenty minutes, and its
-- row is written only where it is silent, isn't any more, or is about to be judged for it.

ALTER TABLE install_states
    -- So long after its last contact silence changes what the engine says of it, seconds; null: it doesn't, or has.
    ADD COLUMN silent_after bigint,
    -- Its last contact, where that was half an hour ago or longer when it was looked at last.
    ADD COLUMN silent_since timestamptz;

-- Those that are silent, a page at a time; few are. What was heard of an install when it was judged last finds nobody any more.
DROP INDEX install_states_seen;
CREATE INDEX install_states_silent ON install_states (install_id) WHERE silent_since IS NOT NULL;
CREATE INDEX install_states_silent_state ON install_states (state, install_id) WHERE silent_since IS NOT NULL;

ALTER TABLE sweeps
    -- The round of looks that goes on, or the next one: when it began or begins, the last install that was looked at, how
    -- many were, and how many of them know the newest keyset.
    ADD COLUMN round_at timestamptz NOT NULL DEFAULT '1970-01-01 00:00:00+00',
    ADD COLUMN round_after uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN round_looked bigint NOT NULL DEFAULT 0,
    ADD COLUMN round_informed bigint NOT NULL DEFAULT 0,
    -- When the last round began that has come to its end.
    ADD COLUMN rounded_at timestamptz NOT NULL DEFAULT '1970-01-01 00:00:00+00';
