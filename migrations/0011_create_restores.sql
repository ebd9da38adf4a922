-- When this database was put in the place of a newer one, from a backup. What was accepted after that backup is forgotten,
-- so proofs of the buckets up to then are put off.
CREATE TABLE restores (
    restored_at timestamptz PRIMARY KEY
);
