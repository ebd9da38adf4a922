-- What operators changed: a row for every change, written in its transaction, each hashed over the hash before it.

CREATE TABLE admin_audit (
    seq bigint PRIMARY KEY CHECK (seq >= 1),
    id uuid NOT NULL UNIQUE,
    at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor IN ('user', 'api_key', 'command_line')),
    actor_id uuid,
    actor_name text NOT NULL,
    address text,
    action text NOT NULL,
    resource text NOT NULL,
    resource_id text NOT NULL,
    -- JSON, kept letter by letter: the hash is over these letters.
    before json,
    after json,
    previous_hash bytea NOT NULL CHECK (octet_length(previous_hash) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);

CREATE INDEX admin_audit_resource ON admin_audit (resource, resource_id, seq);
CREATE INDEX admin_audit_actor ON admin_audit (actor_id, seq);
CREATE INDEX admin_audit_action ON admin_audit (action, seq);
CREATE INDEX admin_audit_at ON admin_audit (at, seq);

-- The chain's end. Whoever writes a row locks it, so that rows follow one another, and a row that is cut off the end
-- is missed.
CREATE TABLE admin_audit_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq bigint NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);

INSERT INTO admin_audit_head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE FUNCTION refuse_change_of_admin_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of the admin audit log never change and never go' USING ERRCODE = 'restrict_violation';
END
$$;

-- Neither the role that serves nor the tables' owner may change or remove a row: not by its grants, and whoever has
-- more than those (a superuser) not by mistake.
CREATE TRIGGER admin_audit_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON admin_audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_admin_audit();
CREATE TRIGGER admin_audit_head_stays BEFORE DELETE OR TRUNCATE ON admin_audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_admin_audit();

REVOKE UPDATE, DELETE, TRUNCATE ON admin_audit FROM PUBLIC;
REVOKE DELETE, TRUNCATE ON admin_audit_head FROM PUBLIC;
DO $$
BEGIN
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON admin_audit FROM %I', current_user);
    EXECUTE format('REVOKE DELETE, TRUNCATE ON admin_audit_head FROM %I', current_user);
END
$$;
