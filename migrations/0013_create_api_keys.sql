-- Scripts' keys to the admin API.

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'owner')),
    -- SHA-256 of the key.
    key_hash bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    expires_at timestamptz,
    -- To the minute.
    last_used_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
