-- How often an address or a license key may activate. Unlogged: after a crash everybody starts anew.

CREATE UNLOGGED TABLE activation_rates (
    -- Hash of the address or of the key.
    subject bytea PRIMARY KEY,
    -- Theoretical arrival time, Unix milliseconds.
    arrival bigint NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX activation_rates_arrival ON activation_rates (arrival);
