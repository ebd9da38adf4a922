-- Copies of every license and install, for pgbench alone, so that what it writes comes in no agent's way. The ids of the
-- copied installs follow from a number, so that pgbench finds any of them without a look-up.
INSERT INTO licenses
SELECT copy.*
FROM licenses l,
     jsonb_populate_record(l, jsonb_build_object(
         'id', md5('copy ' || l.id), 'key_lookup', '\x' || md5(l.id::text) || md5('copy ' || l.id),
         'key_digest', '\x' || md5(l.id::text) || md5('copy ' || l.id))) AS copy;

INSERT INTO installs
SELECT copy.*
FROM (SELECT i AS install, row_number() OVER (ORDER BY i.id) AS n FROM installs i) numbered,
     jsonb_populate_record(install, jsonb_build_object(
         'id', '00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'),
         'license_id', md5('copy ' || (install).license_id))) AS copy;

-- Nobody calls for them, and no sweep shall judge them.
UPDATE install_states SET due_at = NULL WHERE install_id::text LIKE '00000000-0000-4000-8000-%';

VACUUM ANALYZE;
CHECKPOINT;
