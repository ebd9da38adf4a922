-- The operator's incident hold: one switch for the whole server, and so one row, which is empty while none is set. It ends
-- by itself: whoever reads it compares `until` with the time. What it was before is in the admin audit log.
CREATE TABLE hold (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    until timestamptz,
    reason text,
    since timestamptz,
    set_by text,
    CHECK (num_nulls(until, reason, since, set_by) IN (0, 4))
);
INSERT INTO hold DEFAULT VALUES;

-- One that names neither a license nor a profile: the hold has changed.
ALTER TABLE restatements
    DROP CONSTRAINT restatements_check,
    ADD CONSTRAINT restatements_check CHECK (license_id IS NULL OR profile_id IS NULL);
