-- Leases of which one thing has become, whoever's they are, a page at a time in the order of their ids. Of those of which
-- nothing has become the last ones live, the others have ended; those that live are listed by the installs that have them.
CREATE INDEX leases_renewed ON leases (id) WHERE renewed_at IS NOT NULL;
CREATE INDEX leases_returned ON leases (id) WHERE returned_at IS NOT NULL;
CREATE INDEX leases_ended ON leases (id) WHERE revoked_at IS NULL AND returned_at IS NULL AND renewed_at IS NULL;

-- What the sweep counts besides, of very many: how many installs may call, and how many of them have since the newest keyset
-- was signed.
ALTER TABLE sweeps
    ADD COLUMN calling bigint NOT NULL DEFAULT 0,
    ADD COLUMN informed bigint NOT NULL DEFAULT 0,
    ADD COLUMN informed_since timestamptz;

-- Rows of the admin audit log by the kind of their actor: few are the command line's.
CREATE INDEX admin_audit_kind ON admin_audit (actor, seq);

-- Contacts by the rule that decided, where it isn't the last: those that all others are cost nothing.
CREATE INDEX heartbeats_rule ON heartbeats (rule, at, id) WHERE rule <> 14;
