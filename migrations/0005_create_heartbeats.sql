-- The audit log of contacts: a row for whatever was judged. Partitioned by time, a month each; partitions are made
-- ahead and dropped by retention, rows are never deleted.

CREATE TABLE heartbeats (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    install_id uuid NOT NULL,
    license_id uuid NOT NULL,
    operation text NOT NULL CHECK (operation IN ('activate', 'heartbeat', 'rekey', 'deactivate', 'lease', 'lease-return')),
    -- 'accepted': judged and done; 'clone': came from a second holder of the secret; 'refused': judged, and forbidden.
    outcome text NOT NULL CHECK (outcome IN ('accepted', 'clone', 'refused')),
    counter bigint NOT NULL,
    state text NOT NULL,
    rule smallint NOT NULL CHECK (rule BETWEEN 1 AND 14),
    reason text NOT NULL,
    profile_id uuid NOT NULL,
    profile_number integer NOT NULL,
    clock_skew bigint,
    agent_version text NOT NULL,
    instance_id bytea NOT NULL,
    PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);

CREATE INDEX heartbeats_install ON heartbeats (install_id, at);
CREATE INDEX heartbeats_license ON heartbeats (license_id, at);
