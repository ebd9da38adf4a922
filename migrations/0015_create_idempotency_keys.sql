-- What was answered to a request that made something, for when it comes again.

CREATE TABLE idempotency_keys (
    id uuid PRIMARY KEY,
    -- Hash of who asks, for what, and the key that he chose.
    key_hash bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    -- Keyed hash of the request's body, which may hold a password.
    body_hash bytea NOT NULL CHECK (octet_length(body_hash) = 32),
    -- Sealed: it may hold a key that is told only once.
    answer bytea,
    expires_at timestamptz NOT NULL
);

CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires_at);
