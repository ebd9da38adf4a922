-- Data keys and lookup keys are rotated while everything runs: the active one, those that it has replaced and that are
-- still needed, those that nothing is left under (retired), and those whose wrapped key is gone for good (destroyed).
ALTER TABLE wrapped_keys
    ADD COLUMN replaced_at timestamptz,
    ADD COLUMN destroyed_at timestamptz,
    ADD CHECK (retired_at IS NULL OR replaced_at IS NOT NULL),
    ADD CHECK (destroyed_at IS NULL OR retired_at IS NOT NULL),
    ADD CHECK ((destroyed_at IS NULL) = (octet_length(wrapped) > 0));

-- One active key of a purpose.
DROP INDEX wrapped_keys_active;
CREATE UNIQUE INDEX wrapped_keys_active ON wrapped_keys (purpose) WHERE replaced_at IS NULL;
