-- What was done to a thing is asked for by its id alone, and what was done to things of a kind in the order of the rows: an index
-- that begins with the kind and goes on with the id serves neither.

DROP INDEX admin_audit_resource;
CREATE INDEX admin_audit_resource ON admin_audit (resource, seq);
CREATE INDEX admin_audit_resource_id ON admin_audit (resource_id, seq);
