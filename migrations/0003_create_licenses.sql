-- Licenses: the commercial terms. The key lies sealed; a keyed hash of it finds the license without opening any.

CREATE TABLE licenses (
    id uuid PRIMARY KEY,
    product text NOT NULL CHECK (product ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    customer text NOT NULL CHECK (char_length(customer) BETWEEN 1 AND 200),
    profile_id uuid NOT NULL REFERENCES profiles,
    key_lookup bytea NOT NULL UNIQUE CHECK (octet_length(key_lookup) = 32),
    key_sealed bytea NOT NULL,
    max_installs integer NOT NULL CHECK (max_installs BETWEEN 0 AND 1000000),
    starts_at timestamptz NOT NULL,
    expires_at timestamptz CHECK (expires_at > starts_at),
    entitlements json NOT NULL CHECK (json_typeof(entitlements) = 'object'),
    lease_max_seconds bigint CHECK (lease_max_seconds >= 0),
    metadata json NOT NULL CHECK (json_typeof(metadata) = 'object'),
    suspended_at timestamptz,
    revoked_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE INDEX licenses_profile ON licenses (profile_id);
