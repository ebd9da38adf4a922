-- Enforcement profiles: the operator's knobs, in versions that never change once they are published.

CREATE TABLE profiles (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (char_length(name) BETWEEN 1 AND 100),
    -- The published version that judges.
    active_number integer NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE profile_versions (
    profile_id uuid NOT NULL REFERENCES profiles,
    number integer NOT NULL CHECK (number >= 1),
    knobs json NOT NULL CHECK (json_typeof(knobs) = 'object'),
    created_at timestamptz NOT NULL,
    published_at timestamptz,
    PRIMARY KEY (profile_id, number)
);

ALTER TABLE profiles
    ADD FOREIGN KEY (id, active_number) REFERENCES profile_versions (profile_id, number) DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION refuse_change_of_published_profile() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'version % of profile % is published and can''t change', OLD.number, OLD.profile_id
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER profile_versions_are_immutable BEFORE UPDATE OR DELETE ON profile_versions
    FOR EACH ROW WHEN (OLD.published_at IS NOT NULL) EXECUTE FUNCTION refuse_change_of_published_profile();
