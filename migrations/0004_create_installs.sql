-- Installs: one machine each, bound by its fingerprint.
--
-- Every beat changes a row, so: no index stands on what a beat changes (updates stay on their page, without touching
-- any index), the page keeps room for the new copy, and what beats change stands together at the row's end (the log
-- then carries that part alone).

CREATE TABLE installs (
    id uuid PRIMARY KEY,
    license_id uuid NOT NULL REFERENCES licenses,
    name text CHECK (char_length(name) BETWEEN 1 AND 128),
    -- First activation; with the id the order of seats.
    activated_at timestamptz NOT NULL,
    awaiting_approval boolean NOT NULL,
    suspended_at timestamptz,
    revoked_at timestamptz,
    deactivated_at timestamptz,
    -- The bound fingerprint: lines name=value, sorted by name.
    bound text NOT NULL,
    -- Sealed; null when nothing serves (deactivated, reset).
    secrets bytea,
    -- Hash of the last activation's nonce, and when it was: a retry after a lost answer is known by them.
    activation_nonce bytea NOT NULL,
    activation_at timestamptz NOT NULL,
    -- When the same machine was activated again, the last 30 days', and whether an operator has made the next one free.
    reactivations timestamptz[] NOT NULL DEFAULT '{}',
    next_reactivation_free boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1,

    drift_learned_at timestamptz,
    clone_suspected_at timestamptz,
    holds_seat boolean NOT NULL,
    seats_exceeded_at timestamptz,
    observed text NOT NULL,
    instance_id bytea NOT NULL,
    agent_version text NOT NULL,
    agent_platform text NOT NULL,
    clock_skew bigint,
    -- Replay: the highest counter, which of the 256 up to it were accepted, the nonces of the last 15 minutes.
    high bigint NOT NULL CHECK (high BETWEEN 0 AND 9007199254740991),
    accepted_window bytea NOT NULL CHECK (octet_length(accepted_window) = 32),
    recent_nonces bytea NOT NULL,
    -- The rate's theoretical arrival time, Unix milliseconds.
    rate_arrival bigint NOT NULL,
    last_contact timestamptz NOT NULL,
    -- Moves with every change of the row: whoever judged by an older one has to judge again.
    revision bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 70);

CREATE INDEX installs_license ON installs (license_id, activated_at, id);
-- The same machine again: installs that share a component with it.
CREATE INDEX installs_components ON installs USING gin (string_to_array(bound, E'\n'));
