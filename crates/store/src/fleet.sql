-- A fleet as it would be after some years, for measurements: profiles, licenses, installs with what the engine said of
-- them, leases. One transaction. What is chosen is chosen by hashes of a number, so two fleets of a size are the same.
-- fleet.plan says when it is and how much of everything there is to be; the contacts follow in fleet.rs.

-- One of so many; `seed` tells choices about the same number apart.
CREATE FUNCTION fleet.pick(n bigint, seed bigint, many bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (hashint8extended(n, seed) & 9223372036854775807) % many $$;

-- A UUIDv7 of a time.
CREATE FUNCTION fleet.id(at timestamptz, seed text) RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT (lpad(to_hex((date_part('epoch', at) * 1000)::bigint), 12, '0') || '7' || substr(md5(seed), 1, 3)
           || 'a' || substr(md5(seed), 4, 15))::uuid $$;

-- A component of a fingerprint.
CREATE FUNCTION fleet.component(name text, n bigint) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT name || '=' || translate(encode(sha256((name || n)::bytea), 'base64'), '+/=', '-_') $$;

INSERT INTO profiles (id, name, active_number, created_at, updated_at)
SELECT fleet.id(p.at - interval '900 days', 'profile' || n), 'fleet ' || n, 1, p.at, p.at
FROM fleet.plan p, generate_series(1, 4) n;

INSERT INTO profile_versions (profile_id, number, knobs, created_at, published_at)
SELECT fleet.id(p.at - interval '900 days', 'profile' || n), 1,
       (ARRAY['{}', '{"clone_action":"quarantine"}', '{"silence_tolerance":7200,"min_match":0.5}',
              '{"silence_grace":86400,"silence_degraded":86400}'])[n]::json, p.at, p.at
FROM fleet.plan p, generate_series(1, 4) n;

-- Three licenses a customer; most are of one product, and of one profile.
CREATE UNLOGGED TABLE fleet.licenses AS
SELECT n, fleet.id(p.at - interval '800 days' + interval '1 day' * (n * 700.0 / p.licenses), 'license' || n) AS id,
       fleet.id(p.at - interval '900 days', 'profile' || greatest(1, fleet.pick(n, 1, 10) - 5)) AS profile_id
FROM fleet.plan p, generate_series(0, p.licenses - 1) n;
ALTER TABLE fleet.licenses ADD PRIMARY KEY (n);

INSERT INTO licenses (id, product, customer, profile_id, key_lookup, key_sealed, max_installs, starts_at, expires_at,
                      entitlements, lease_max_seconds, metadata, suspended_at, revoked_at, created_at, updated_at,
                      key_digest, lookup_version)
SELECT l.id, (ARRAY['acme.render', 'acme.vault', 'acme.cad', 'acme.render'])[1 + fleet.pick(n, 2, 4)],
       (ARRAY['North', 'Blue', 'Silver', 'Granite', 'Harbour', 'Summit', 'Meadow', 'Copper', 'Willow', 'Polar'])
           [1 + fleet.pick(n / 3, 3, 10)] || ' ' ||
       (ARRAY['Foundry', 'Studios', 'Analytics', 'Robotics', 'Logistics', 'Pictures', 'Instruments', 'Energy', 'Maps'])
           [1 + fleet.pick(n / 3, 4, 9)] || ' ' || (n / 3) || ' ' ||
       (ARRAY['Ltd', 'GmbH', 'Inc', 'Ltd'])[1 + fleet.pick(n / 3, 5, 4)],
       l.profile_id, sha256(('lookup' || n)::bytea), sha256(('sealed' || n)::bytea) || sha256(('key' || n)::bytea),
       1000000, p.at - interval '800 days',
       CASE WHEN fleet.pick(n, 6, 10) < 2 THEN NULL
            WHEN fleet.pick(n, 6, 10) = 2 THEN p.at + interval '1 day' * (fleet.pick(n, 7, 90) - 30)
            ELSE p.at + interval '1 day' * (60 + fleet.pick(n, 7, 800)) END,
       '{"edition":"pro","seats":"floating"}', NULL, '{"account":"example"}',
       CASE WHEN fleet.pick(n, 8, 100) = 0 THEN p.at - interval '3 days' END,
       CASE WHEN fleet.pick(n, 8, 100) = 1 THEN p.at - interval '9 days' END,
       p.at - interval '800 days', p.at - interval '9 days', sha256(('digest' || n)::bytea), 1
FROM fleet.plan p, fleet.licenses l;

-- Few licenses have many installs, most have few. Of a thousand installs some wait, are suspended, have ended, are
-- suspected of being two, or are silent.
CREATE UNLOGGED TABLE fleet.installs AS
SELECT n, fleet.id(h.activated_at, 'install' || n) AS id, l.id AS license_id, l.profile_id, h.activated_at,
       CASE WHEN h.fate < 10 THEN 'pending' WHEN h.fate < 30 THEN 'suspended' WHEN h.fate < 50 THEN 'revoked'
            WHEN h.fate < 80 THEN 'deactivated' WHEN h.fate < 85 THEN 'cloned' WHEN h.fate < 135 THEN 'silent'
            ELSE 'active' END AS fate,
       -- A third of those that aren't new has had leases.
       CASE WHEN n < p.installs * 0.95 AND fleet.pick(n, 20, 3) = 0 THEN 1 + fleet.pick(n, 21, 5) ELSE 0 END AS leases,
       (ARRAY['live', 'returned', 'ended', 'revoked', 'ended', 'returned', 'renewed'])[1 + fleet.pick(n, 22, 7)] AS last
FROM fleet.plan p CROSS JOIN generate_series(0, p.installs - 1) n
CROSS JOIN LATERAL (SELECT fleet.pick(n, 9, 1000) AS fate,
                           p.at - interval '400 days' + interval '1 second' * (n * 34560000.0 / p.installs) AS activated_at,
                           (p.licenses * power(fleet.pick(n, 10, 1000000) / 1e6, 2))::bigint AS license) h
JOIN fleet.licenses AS l(number, id, profile_id) ON l.number = least(h.license, p.licenses - 1);
ALTER TABLE fleet.installs ADD PRIMARY KEY (n);

CREATE UNLOGGED TABLE fleet.leases AS
SELECT f.id AS install_id, f.license_id, fleet.id(g.granted_at, 'lease' || f.n || '-' || j) AS id, g.granted_at,
       g.granted_at + interval '7 days' AS ends_at, CASE WHEN j < f.leases THEN 'renewed' ELSE f.last END AS last
FROM fleet.plan p, fleet.installs f, generate_series(1, f.leases) j,
     LATERAL (SELECT CASE WHEN j = f.leases AND f.last = 'live'
                          THEN p.at - interval '1 minute' * (1 + fleet.pick(f.n, 23, 7000))
                          ELSE f.activated_at + (p.at - interval '8 days' - f.activated_at) * (j / (f.leases + 1.0))
                     END AS granted_at) g;

ALTER TABLE fleet.leases ADD PRIMARY KEY (id);
CREATE INDEX ON fleet.leases (install_id) WHERE last = 'live';
ANALYZE fleet.licenses, fleet.installs, fleet.leases;

INSERT INTO leases (id, install_id, license_id, granted_at, ends_at, renewed_at, returned_at, revoked_at)
SELECT id, install_id, license_id, granted_at, ends_at,
       CASE WHEN last = 'renewed' THEN granted_at + interval '5 days' END,
       CASE WHEN last = 'returned' THEN granted_at + interval '4 days' END,
       CASE WHEN last = 'revoked' THEN granted_at + interval '3 days' END
FROM fleet.leases ORDER BY id;

INSERT INTO installs (id, license_id, name, activated_at, awaiting_approval, suspended_at, revoked_at, deactivated_at,
                      bound, activation_nonce, activation_at, clone_suspected_at, holds_seat, observed, instance_id,
                      agent_version, agent_platform, clock_skew, high, accepted_window, recent_nonces, rate_arrival,
                      last_contact, lease_id, lease_ends_at, shown)
SELECT f.id, f.license_id,
       (ARRAY['render', 'build', 'node', 'station', 'node', 'gpu'])[1 + fleet.pick(f.n, 11, 6)] || '-' ||
       (ARRAY['berlin', 'oslo', 'lyon', 'porto', 'quito', 'accra', 'osaka'])[1 + fleet.pick(f.n, 12, 7)] || '-' || f.n,
       f.activated_at, f.fate = 'pending', CASE WHEN f.fate = 'suspended' THEN p.at - interval '2 days' END,
       CASE WHEN f.fate = 'revoked' THEN p.at - interval '20 days' END,
       CASE WHEN f.fate = 'deactivated' THEN p.at - interval '30 days' END,
       b.bound, sha256(f.n::text::bytea), f.activated_at,
       CASE WHEN f.fate = 'cloned' THEN p.at - interval '1 day' END, f.fate NOT IN ('revoked', 'deactivated'), b.bound,
       uuid_send(f.id), '1.' || fleet.pick(f.n, 13, 5) || '.0', 'linux x86_64', fleet.pick(f.n, 14, 5) - 2, 100000,
       decode(repeat('ff', 32), 'hex'), substr(sha256(f.id::text::bytea) || sha256(f.n::text::bytea), 1, 60), 0,
       CASE WHEN f.fate IN ('active', 'pending', 'cloned') THEN p.at - interval '1 second' * fleet.pick(f.n, 15, 300)
            ELSE p.at - interval '1 minute' * (120 + fleet.pick(f.n, 15, 40000)) END,
       v.id, v.ends_at, CASE WHEN f.fate = 'active' THEN 'authorized 14 ok active' ELSE '' END
FROM fleet.plan p, fleet.installs f
JOIN LATERAL (SELECT concat_ws(E'\n', fleet.component('board_serial', f.n), fleet.component('mac', f.n),
                               fleet.component('machine_id', f.n)) AS bound OFFSET 0) b ON true
LEFT JOIN fleet.leases v ON v.install_id = f.id AND v.last = 'live' AND f.fate NOT IN ('revoked', 'deactivated')
ORDER BY f.n;

-- All are due: the first sweep says what the engine does of each.
INSERT INTO install_states (install_id, license_id, state, rule, reason, status, due_at, seen_at)
SELECT i.id, i.license_id, 'authorized', 14, 'ok', 'active', '-infinity', i.last_contact FROM installs i ORDER BY i.id;
