-- Keys at rest. Nothing here opens without the key-encryption key, which is never in the database.

-- Data keys (sealed columns) and lookup keys (the blind index over license keys), wrapped by the key-encryption key.
CREATE TABLE wrapped_keys (
    purpose text NOT NULL CHECK (purpose IN ('data-key', 'lookup-key')),
    version integer NOT NULL CHECK (version >= 1),
    wrapped bytea NOT NULL,
    wrapped_by text NOT NULL,
    -- How many seals processes have reserved under a data key; at most 2^31.
    seals_reserved bigint NOT NULL DEFAULT 0 CHECK (seals_reserved BETWEEN 0 AND 2147483648),
    created_at timestamptz NOT NULL,
    retired_at timestamptz,
    PRIMARY KEY (purpose, version)
);

-- One active key of a purpose.
CREATE UNIQUE INDEX wrapped_keys_active ON wrapped_keys (purpose) WHERE retired_at IS NULL;

-- Ed25519 keys that sign tokens and leases: prepared, active, retiring, retired.
CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    key_use text NOT NULL CHECK (key_use IN ('token', 'lease')),
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    private_key bytea NOT NULL,
    publish_at timestamptz NOT NULL,
    sign_from timestamptz,
    sign_until timestamptz,
    verify_until timestamptz,
    tainted_at timestamptz,
    CHECK (sign_until IS NULL OR sign_from IS NOT NULL),
    CHECK ((sign_until IS NULL) = (verify_until IS NULL))
);

-- One active and one prepared key of a use.
CREATE UNIQUE INDEX signing_keys_active ON signing_keys (key_use)
    WHERE sign_from IS NOT NULL AND sign_until IS NULL AND tainted_at IS NULL;
CREATE UNIQUE INDEX signing_keys_prepared ON signing_keys (key_use) WHERE sign_from IS NULL AND tainted_at IS NULL;

-- Ed25519 keys that sign keysets. The private half leaves when it is exported to be kept offline.
CREATE TABLE root_keys (
    kid text PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    private_key bytea,
    created_at timestamptz NOT NULL,
    -- The next root, signed by this one.
    successor text,
    replaced_at timestamptz,
    CHECK ((successor IS NULL) = (replaced_at IS NULL))
);

CREATE UNIQUE INDEX root_keys_current ON root_keys ((true)) WHERE replaced_at IS NULL;

-- The published keysets; agents are handed the newest.
CREATE TABLE keysets (
    version bigint PRIMARY KEY CHECK (version >= 1),
    jws text NOT NULL,
    issuer text NOT NULL,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > issued_at)
);
