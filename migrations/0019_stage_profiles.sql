-- A version may be published to some installs in a hundred first; the rest is judged by the one before.
ALTER TABLE profiles
    ADD COLUMN percent integer NOT NULL DEFAULT 100 CHECK (percent BETWEEN 1 AND 100),
    ADD COLUMN previous_number integer,
    ADD FOREIGN KEY (id, previous_number) REFERENCES profile_versions (profile_id, number),
    ADD CHECK (percent = 100 OR previous_number IS NOT NULL);
