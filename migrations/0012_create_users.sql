-- People who sign in, their sessions, and what bounds the guessing of passwords.

CREATE TABLE users (
    id uuid PRIMARY KEY,
    -- In lower case.
    email text NOT NULL UNIQUE CHECK (email = lower(email) AND char_length(email) BETWEEN 3 AND 254),
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'owner')),
    -- Argon2id, in the PHC string format.
    password_hash text NOT NULL,
    -- The second factor's seed, sealed; it is asked for once a code has confirmed it.
    totp_secret bytea,
    totp_confirmed_at timestamptz,
    -- The last time step whose code was taken: no code is taken twice.
    totp_step bigint NOT NULL DEFAULT 0,
    -- Hashes of the codes that stand in for the second factor, each once.
    recovery_codes bytea[] NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (totp_confirmed_at IS NULL OR totp_secret IS NOT NULL)
);

CREATE INDEX users_owners ON users (id) WHERE role = 'owner';

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    -- SHA-256 of the cookie's value.
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    -- To the minute.
    last_seen_at timestamptz NOT NULL
);

CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_created ON sessions (created_at);

-- Failed attempts to sign in, of an account and of an address. Unlogged: after a crash everybody starts anew.
CREATE UNLOGGED TABLE sign_in_failures (
    -- Hash of the address that signs in, or of the one that it calls from.
    subject bytea PRIMARY KEY,
    failures integer NOT NULL,
    -- No attempt is looked at before.
    blocked_until timestamptz NOT NULL,
    failed_at timestamptz NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX sign_in_failures_failed ON sign_in_failures (failed_at);
