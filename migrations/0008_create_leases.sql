-- Offline leases: until when an install may work without being heard of, and the requests of machines that never are.

CREATE TABLE leases (
    id uuid PRIMARY KEY,
    install_id uuid NOT NULL REFERENCES installs,
    license_id uuid NOT NULL REFERENCES licenses,
    granted_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > granted_at),
    -- What became of it before its end: replaced by the install's next one, given back, revoked by an operator.
    renewed_at timestamptz,
    returned_at timestamptz,
    revoked_at timestamptz,
    version bigint NOT NULL DEFAULT 1
);

-- Leases of a license, of an install, revoked ones, listed a page at a time in the order of their ids.
CREATE INDEX leases_license ON leases (license_id, id);
CREATE INDEX leases_install ON leases (install_id, id);
CREATE INDEX leases_revoked ON leases (id) WHERE revoked_at IS NOT NULL;

-- What a beat has to know: the lease in force when the install was last heard of, whether an operator has revoked it
-- since, and until when it gets no other. Beats change none of this unless a lease has ended, so indexes may stand on it.
ALTER TABLE installs
    ADD COLUMN lease_id uuid,
    ADD COLUMN lease_ends_at timestamptz,
    ADD COLUMN lease_revoked_at timestamptz,
    ADD COLUMN lease_barred_until timestamptz,
    ADD CHECK ((lease_id IS NULL) = (lease_ends_at IS NULL)),
    ADD CHECK (lease_revoked_at IS NULL OR lease_id IS NOT NULL);

-- The install of a lease that an operator revokes; live leases, listed.
CREATE UNIQUE INDEX installs_lease ON installs (lease_id) WHERE lease_id IS NOT NULL;
-- How many installs of a license are on a lease.
CREATE INDEX installs_on_lease ON installs (license_id, lease_ends_at) WHERE lease_id IS NOT NULL;

-- A machine that was never online names its license by a digest of the key, which the blind index over keys can't find.
-- Null in the rows of a server that didn't know of it; those are filled by the first server that does.
ALTER TABLE licenses ADD COLUMN key_digest bytea UNIQUE CHECK (octet_length(key_digest) = 32);
CREATE INDEX licenses_without_digest ON licenses (id) WHERE key_digest IS NULL;

-- The offline requests that were answered, remembered as long as their own time lets them be answered.
CREATE TABLE offline_requests (
    license_id uuid NOT NULL REFERENCES licenses,
    nonce bytea NOT NULL,
    valid_until timestamptz NOT NULL,
    PRIMARY KEY (license_id, nonce)
);

CREATE INDEX offline_requests_valid_until ON offline_requests (valid_until);
