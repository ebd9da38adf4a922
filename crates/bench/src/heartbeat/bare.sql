-- The bare two statements of one heartbeat: read the install with its license and profile; write what a beat changes,
-- with its row of the audit log. Each is a transaction of its own.
\set n random(1, :installs)
SELECT i.id, i.license_id, i.activated_at, i.awaiting_approval, i.suspended_at, i.revoked_at, i.deactivated_at,
       i.bound, i.secrets, i.drift_learned_at, i.clone_suspected_at, i.holds_seat, i.seats_exceeded_at, i.observed,
       i.instance_id, i.agent_version, i.agent_platform, i.clock_skew, i.high, i.accepted_window, i.recent_nonces,
       i.rate_arrival, i.last_contact, i.revision,
       l.product, l.max_installs, l.starts_at, l.expires_at, l.entitlements,
       l.suspended_at, l.revoked_at, p.id, p.active_number
FROM installs i JOIN licenses l ON l.id = i.license_id JOIN profiles p ON p.id = l.profile_id
WHERE i.id = ('00000000-0000-4000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid;
WITH moved AS (
    UPDATE installs
    SET observed = observed, instance_id = '\x000102030405060708090a0b0c0d0e0f', agent_version = '1.0.0',
        agent_platform = 'simulated', clock_skew = 0, high = high + 1,
        accepted_window = '\x00000000000000000000000000000000000000000000000000000000000000ff',
        recent_nonces = recent_nonces || '\x0123456789abcdef0123456789abcdef01234567', rate_arrival = rate_arrival + 5000,
        last_contact = now(), revision = revision + 1
    WHERE id = ('00000000-0000-4000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid
    RETURNING id, license_id, high, agent_version, instance_id
)
INSERT INTO heartbeats (id, at, install_id, license_id, operation, outcome, counter, state, rule, reason,
                        profile_id, profile_number, clock_skew, agent_version, instance_id)
SELECT gen_random_uuid(), now(), id, license_id, 'heartbeat', 'accepted', high, 'authorized', 14, 'ok',
       '00000000-0000-4000-8000-000000000000', 1, 0, agent_version, instance_id
FROM moved;
