//! A database as it would be after some years, for measurements: it makes itself, in minutes.
//!
//! What the license server writes by itself is written here in bulk, so it is for an empty database, and by its superuser.

use protocol::admin::ActorKind;
use protocol::secrets::Secrets;
use protocol::{Fingerprint, InstallId, LicenseId, Secret};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::audit::AuditLogRow;
use crate::contact::{corrupt, secrets_place};
use crate::sql::Timestamp;
use crate::{Error, Store};

/// How large a fleet is, and how much it has left behind.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    /// How many installs; there are about as many leases, and a tenth as many rows of the admin audit log.
    pub installs: i64,
    /// How many contacts, spread evenly over the weeks before now.
    pub heartbeats: i64,
    /// How many weeks.
    pub weeks: i64,
}

/// A machine that is to beat: its install is made with this fingerprint and this secret.
#[derive(Debug)]
pub struct Member {
    /// What it is bound to.
    pub bound: Fingerprint,
    /// What it proves by.
    pub secret: Secret,
}

/// How many rows of the admin audit log are written by one statement.
const ROWS_AT_ONCE: i64 = 1_000;

/// How many values are sealed of what is reserved at once.
const SEALS_AT_ONCE: usize = 1_000;

/// How many statements that need no other run at once.
const HANDS: i64 = 2;

const TABLES: &str = "{licenses,installs,install_states,leases,heartbeats,admin_audit}";

/// Indexes are made when everything is there. Those that hold a constraint stay.
const INDEXES: &str = "SELECT c.relname::text AS name, pg_get_indexdef(c.oid) AS definition
FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
WHERE t.relname = ANY($1::text::text[]) AND t.relnamespace = 'public'::regnamespace AND NOT x.indisunique ORDER BY 1";

const PLAN: &str = "CREATE SCHEMA fleet;
CREATE TABLE fleet.plan (at timestamptz, installs bigint, licenses bigint, heartbeats bigint, weeks bigint)";

const FLEET: &str = include_str!("fleet.sql");

/// Contacts from one on and before another, in the order in which they came. Of a hundred three say something else than
/// that all is well.
const HEARTBEATS: &str = "INSERT INTO heartbeats (id, at, install_id, license_id, operation, outcome, counter, state, rule,
                        reason, profile_id, profile_number, clock_skew, agent_version, instance_id)
SELECT fleet.id(g.at, 'contact' || k), g.at, f.id, f.license_id, 'heartbeat',
       CASE WHEN fleet.pick(k, 32, 1000) < 2 THEN 'refused' WHEN fleet.pick(k, 32, 1000) = 2 THEN 'clone' ELSE 'accepted' END,
       k, (ARRAY['warned', 'grace', 'degraded', 'locked', 'suspended', 'authorized'])[1 + s.state],
       (ARRAY[13, 11, 10, 8, 3, 14])[1 + s.state],
       (ARRAY['clock_skew', 'license_expired', 'license_expired', 'fingerprint_mismatch', 'license_suspended', 'ok'])
           [1 + s.state], f.profile_id, 1, 0, '1.4.0', uuid_send(f.id)
FROM fleet.plan p CROSS JOIN generate_series($1::bigint, $2::bigint - 1) k
CROSS JOIN LATERAL (SELECT p.at - interval '1 week' * p.weeks
                           + interval '1 second' * (k * (p.weeks * 604800.0) / p.heartbeats) AS at) g
CROSS JOIN LATERAL (SELECT CASE WHEN fleet.pick(k, 31, 100) > 2 THEN 5 ELSE fleet.pick(k, 33, 5) END AS state) s
JOIN fleet.installs f ON f.n = fleet.pick(k, 30, p.installs)";

/// Those installs that are to beat are spread over all, the healthy ones.
const MEMBERS: &str =
    "UPDATE installs i SET bound = m.bound, observed = m.bound, secrets = m.secrets, high = 0,
       accepted_window = decode(repeat('00', 32), 'hex'), recent_nonces = ''
FROM unnest($1::uuid[], $2::text[], $3::bytea[]) AS m(id, bound, secrets) WHERE i.id = m.id";

const MEMBER_IDS: &str = "SELECT id, license_id FROM (
    SELECT id, license_id, row_number() OVER (ORDER BY n) - 1 AS place, count(*) OVER () AS many
    FROM fleet.installs WHERE fate = 'active' AND (leases = 0 OR last <> 'live')) f
WHERE place % greatest(many / $1, 1) = 0 ORDER BY id LIMIT $1";

const AUDIT: &str = "INSERT INTO admin_audit (seq, id, at, actor, actor_id, actor_name, address, action, resource, resource_id,
                         before, after, previous_hash, hash)
SELECT seq, id, at, actor, actor_id, 'someone@example.com', NULL, action, 'license', resource_id, before::json, NULL, previous_hash, hash
FROM unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::bytea[],
            $10::bytea[]) AS a(seq, id, at, actor, actor_id, action, resource_id, before, previous_hash, hash)";

impl Store {
    /// Fills an empty database with a fleet whose present is now, and says which installs `members` have become. Tables
    /// are vacuumed and analyzed, nothing was judged yet: the first sweep judges everybody.
    ///
    /// # Errors
    /// When the database refuses: it isn't empty, or its user isn't its superuser.
    pub async fn make_fleet(
        &self,
        fleet: Fleet,
        members: &[Member],
    ) -> Result<Vec<(InstallId, LicenseId)>, Error> {
        let now = self.clock().unix_seconds();
        self.database().make_partitions(now - fleet.weeks * 604_800).await?;
        self.database().make_partitions(now).await?;
        let client = self.client().await?;
        let indexes = client.query(INDEXES, &[&TABLES]).await.map_err(Error::from_connection)?;
        let run =
            async |statement: &str| client.batch_execute(statement).await.map_err(Error::from_connection);
        for index in &indexes {
            run(&format!("DROP INDEX {}", index.get::<_, &str>("name"))).await?;
        }
        run(PLAN).await?;
        let licenses = (fleet.installs / 40).max(10);
        let numbers: [&(dyn ToSql + Sync); 5] =
            [&Timestamp(now), &fleet.installs, &licenses, &fleet.heartbeats, &fleet.weeks];
        client
            .execute("INSERT INTO fleet.plan VALUES ($1, $2, $3, $4, $5)", &numbers)
            .await
            .map_err(Error::from_connection)?;
        // Neither triggers nor foreign keys: what they would see to, the statements do.
        run("SET session_replication_role = replica").await?;
        run(FLEET).await?;
        run("RESET session_replication_role").await?;
        let joined = self.make_members(members).await?;
        self.make_heartbeats(fleet.heartbeats).await?;
        self.make_audit(now, fleet.installs / 10).await?;
        run("DROP SCHEMA fleet CASCADE").await?;
        for index in &indexes {
            // A partitioned table's own definition leaves its partitions out.
            run(&index.get::<_, &str>("definition").replacen(" ON ONLY ", " ON ", 1)).await?;
        }
        run("VACUUM ANALYZE").await?;
        run("CHECKPOINT").await?;
        Ok(joined)
    }

    async fn make_members(&self, members: &[Member]) -> Result<Vec<(InstallId, LicenseId)>, Error> {
        let client = self.client().await?;
        let many = i64::try_from(members.len()).unwrap_or(i64::MAX);
        let found = client.query(MEMBER_IDS, &[&many]).await.map_err(Error::from_connection)?;
        let ids: Vec<Uuid> = found.iter().map(|row| row.get("id")).collect();
        let mut sealed = Vec::with_capacity(ids.len());
        let pairs: Vec<_> = ids.iter().zip(members).collect();
        for pairs in pairs.chunks(SEALS_AT_ONCE) {
            let keyring = self.sealing(&**client, pairs.len()).await?;
            for (id, member) in pairs {
                let secrets = Secrets::fresh(member.secret.clone()).to_bytes();
                let place = secrets_place(InstallId::from_uuid(**id));
                sealed.push(keyring.seal(place, &secrets, self.random())?);
            }
        }
        let bound: Vec<String> = members.iter().map(|member| member.bound.lines()).collect();
        client
            .execute(MEMBERS, &[&ids, &&bound[..ids.len()], &sealed])
            .await
            .map_err(Error::from_connection)?;
        let joined = |row: &tokio_postgres::Row| {
            (InstallId::from_uuid(row.get("id")), LicenseId::from_uuid(row.get("license_id")))
        };
        Ok(found.iter().map(joined).collect())
    }

    async fn make_heartbeats(&self, many: i64) -> Result<(), Error> {
        let part = async |hand: i64| {
            let client = self.client().await?;
            let (from, to) = (many * hand / HANDS, many * (hand + 1) / HANDS);
            client.execute(HEARTBEATS, &[&from, &to]).await.map_err(Error::from_connection)
        };
        tokio::try_join!(part(0), part(1)).map(drop)
    }

    /// Rows of the admin audit log, whose chain holds.
    async fn make_audit(&self, now: i64, many: i64) -> Result<(), Error> {
        const ACTIONS: [&str; 4] =
            ["license.change", "license.suspend", "license.resume", "license.reveal_key"];
        let client = self.client().await?;
        let actors: Vec<Uuid> = (0..20).map(|_| self.new_id()).collect();
        let head = client
            .query_one("SELECT seq, hash FROM admin_audit_head WHERE only_row", &[])
            .await
            .map_err(Error::from_connection)?;
        let mut next: i64 = head.get::<_, i64>("seq") + 1;
        let mut last: [u8; 32] = head.get::<_, &[u8]>("hash").try_into().map_err(corrupt("hash"))?;
        while next <= many {
            let rows: Vec<AuditLogRow> = (next..=many)
                .take(usize::try_from(ROWS_AT_ONCE).unwrap_or(usize::MAX))
                .map(|seq| {
                    let place = usize::try_from(seq).unwrap_or_default();
                    let kind = ActorKind::ALL[usize::from(place % 10 == 0) + usize::from(place % 200 == 0)];
                    let mut row = AuditLogRow {
                        seq,
                        id: self.new_id(),
                        at: now - (many - seq) * 34_560_000 / many.max(1),
                        actor: kind,
                        actor_id: Some(actors[place % actors.len()]),
                        actor_name: "someone@example.com".to_owned(),
                        address: None,
                        action: ACTIONS[place % 97 % ACTIONS.len()].to_owned(),
                        resource: "license".to_owned(),
                        resource_id: actors[place / 7 % actors.len()].to_string(),
                        before: Some(format!("{{\"max_installs\":{place}}}")),
                        after: None,
                        previous_hash: last,
                        hash: [0; 32],
                    };
                    row.hash = row.computed_hash();
                    last = row.hash;
                    row
                })
                .collect();
            next += ROWS_AT_ONCE;
            let hashes = |hash: fn(&AuditLogRow) -> &[u8; 32]| -> Vec<&[u8]> {
                rows.iter().map(|row| hash(row).as_slice()).collect()
            };
            let columns: [&(dyn ToSql + Sync); 10] = [
                &rows.iter().map(|row| row.seq).collect::<Vec<_>>(),
                &rows.iter().map(|row| row.id).collect::<Vec<_>>(),
                &rows.iter().map(|row| Timestamp(row.at)).collect::<Vec<_>>(),
                &rows.iter().map(|row| row.actor.as_str()).collect::<Vec<_>>(),
                &rows.iter().map(|row| row.actor_id).collect::<Vec<_>>(),
                &rows.iter().map(|row| row.action.as_str()).collect::<Vec<_>>(),
                &rows.iter().map(|row| row.resource_id.as_str()).collect::<Vec<_>>(),
                &rows.iter().map(|row| row.before.as_deref()).collect::<Vec<_>>(),
                &hashes(|row| &row.previous_hash),
                &hashes(|row| &row.hash),
            ];
            client.execute(AUDIT, &columns).await.map_err(Error::from_connection)?;
            let head = "UPDATE admin_audit_head SET seq = $1, hash = $2 WHERE only_row";
            let seq = rows.last().map_or(0, |row| row.seq);
            client.execute(head, &[&seq, &last.as_slice()]).await.map_err(Error::from_connection)?;
        }
        Ok(())
    }

    /// Lets installs beat again as if they hadn't for long.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn rest(&self, installs: &[InstallId]) -> Result<(), Error> {
        let ids: Vec<Uuid> = installs.iter().map(|id| *id.as_uuid()).collect();
        let client = self.client().await?;
        let rest = "UPDATE installs SET rate_arrival = 0, revision = revision + 1 WHERE id = ANY($1)";
        client.execute(rest, &[&ids]).await.map_err(Error::from_connection).map(drop)
    }
}
