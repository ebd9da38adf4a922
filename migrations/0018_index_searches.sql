-- Searching for words, or their beginnings, in a license's customer, product and notes, and in an install's name.
CREATE INDEX licenses_words ON licenses USING gin (to_tsvector('simple', customer || ' ' || product));
CREATE INDEX installs_words ON installs USING gin (to_tsvector('simple', name)) WHERE name IS NOT NULL;

-- Licenses that are about to end.
CREATE INDEX licenses_expires ON licenses (expires_at, id) WHERE expires_at IS NOT NULL AND revoked_at IS NULL;
