-- Under which version of the lookup key a license is indexed. While the lookup key is rotated, two are looked up.
ALTER TABLE licenses ADD COLUMN lookup_version integer NOT NULL DEFAULT 1 CHECK (lookup_version >= 1);
