-- Webhooks: who is told of changes, and the queue of what is to be told.

CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    url text NOT NULL CHECK (char_length(url) BETWEEN 1 AND 2000),
    -- Names of events, or * for all of them.
    events text[] NOT NULL CHECK (cardinality(events) > 0),
    -- By which messages are signed, sealed.
    secret bytea NOT NULL,
    -- Since when its target is gone for good: nothing is sent there any more.
    disabled_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- What is told to whom. A row is written in the transaction of the change that it tells of.
--
-- It refers to its webhook by no foreign key: whoever changes an install waits for nobody who removes a webhook. What
-- was written for one that was just removed is attempted by nobody, and goes when it is old.
CREATE TABLE webhook_deliveries (
    webhook_id uuid NOT NULL,
    -- The message's: the same for each webhook, at each attempt.
    id uuid NOT NULL,
    event text NOT NULL,
    -- JSON, kept letter by letter: these letters are signed.
    body json NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    created_at timestamptz NOT NULL,
    -- When it is to be attempted; while somebody does, until when that is left to him.
    due_at timestamptz,
    -- All attempts, and those since it was queued or sent again.
    attempts integer NOT NULL DEFAULT 0,
    tries integer NOT NULL DEFAULT 0,
    -- Of the last attempt.
    attempted_at timestamptz,
    status_code integer,
    error text CHECK (error IN ('name_not_resolved', 'address_refused', 'not_reached', 'tls_failed', 'timed_out',
                                'no_answer', 'redirected', 'refused', 'gone', 'disabled')),
    ended_at timestamptz,
    PRIMARY KEY (webhook_id, id),
    CHECK ((status = 'pending') = (due_at IS NOT NULL)),
    CHECK ((status = 'pending') = (ended_at IS NULL))
);

-- What is due of a webhook; a webhook's deliveries of a status, the newest first; what is old.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_status ON webhook_deliveries (webhook_id, status, id);
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (created_at);

-- The end of its term that was told of. Licenses whose end is still to be told of, by their end.
ALTER TABLE licenses ADD COLUMN end_told timestamptz;
CREATE INDEX licenses_end_untold ON licenses (expires_at)
    WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND end_told IS DISTINCT FROM expires_at;
