-- Heartbeats by hour, which the overview draws: counted once, by whoever sweeps, a minute or so after they came.
CREATE TABLE heartbeat_counts (
    hour timestamptz NOT NULL,
    operation text NOT NULL,
    outcome text NOT NULL,
    state text NOT NULL,
    rule smallint NOT NULL,
    heartbeats bigint NOT NULL,
    PRIMARY KEY (hour, operation, outcome, state, rule)
);

-- Up to where they are counted.
CREATE TABLE heartbeats_counted (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    counted_until timestamptz NOT NULL
);

-- Few rows of the audit log say anything but authorized, accepted: those are found by an index that the others cost
-- nothing.
CREATE INDEX heartbeats_state ON heartbeats (state, at, id) WHERE state <> 'authorized';
CREATE INDEX heartbeats_outcome ON heartbeats (outcome, at, id) WHERE outcome <> 'accepted';
