//! The admin audit log: who changed what, each row hashed over the hash before it.
//!
//! INVARIANT(chain): a row's hash is SHA-256 over `qt1:admin-audit`, the hash before it, and the row's members in a form
//! that no other row has. Rows are written under the lock of the chain's end, one after another; none changes or goes.

use std::net::IpAddr;

use protocol::admin::ActorKind;
use protocol::ambient::{Random, array};
use sha2::{Digest, Sha256};
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::contact::corrupt;
use crate::sql::{Timestamp, column, execute, instant, row, rows, statements};
use crate::{Error, Store};

/// How many rows are read at once when the chain is walked.
const STRIDE: i64 = 1_000;

statements! {
    /// The chain's end, locked: whoever has it writes the next row.
    LOCK_HEAD () "-- audit.lock_head
SELECT seq, hash FROM admin_audit_head WHERE only_row FOR UPDATE"

    /// Rows by one actor at one time, and the chain's new end.
    INSERT (
        TIMESTAMPTZ, TEXT, UUID, TEXT, TEXT, INT8, BYTEA, INT8_ARRAY, UUID_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY,
        TEXT_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY
    ) "-- audit.insert
WITH head AS (UPDATE admin_audit_head SET seq = $6, hash = $7 WHERE only_row)
INSERT INTO admin_audit (seq, id, at, actor, actor_id, actor_name, address, action, resource, resource_id, before, after,
                         previous_hash, hash)
SELECT r.seq, r.id, $1, $2, $3, $4, $5, r.action, r.resource, r.resource_id, r.before::json, r.after::json,
       r.previous_hash, r.hash
FROM unnest($8, $9, $10, $11, $12, $13, $14, $15, $16)
    AS r(seq, id, action, resource, resource_id, before, after, previous_hash, hash)"

    /// Rows before one, the newest first. Planned for the parameters that it comes with, each filter leaves what one
    /// of the indexes is for.
    LIST (INT8, INT8, TEXT, UUID, TEXT, TEXT, TEXT, TIMESTAMPTZ, TIMESTAMPTZ) "-- audit.list
SELECT seq, id, at, actor, actor_id, actor_name, address, action, resource, resource_id, before::text AS before,
       after::text AS after, previous_hash, hash
FROM admin_audit
WHERE seq < $1 AND ($3::text IS NULL OR actor = $3) AND ($4::uuid IS NULL OR actor_id = $4)
  AND ($5::text IS NULL OR action = $5) AND ($6::text IS NULL OR resource = $6)
  AND ($7::text IS NULL OR resource_id = $7) AND ($8::timestamptz IS NULL OR at >= $8)
  AND ($9::timestamptz IS NULL OR at < $9)
ORDER BY seq DESC LIMIT $2"

    /// Rows after one, in their order.
    WALK (INT8, INT8) "-- audit.walk
SELECT seq, id, at, actor, actor_id, actor_name, address, action, resource, resource_id, before::text AS before,
       after::text AS after, previous_hash, hash
FROM admin_audit WHERE seq > $1 ORDER BY seq LIMIT $2"

    /// The chain's end.
    HEAD () "-- audit.head
SELECT seq, hash FROM admin_audit_head WHERE only_row"
}

/// Who changes something, and from where.
#[derive(Debug, Clone)]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// The user's or the key's id.
    pub id: Option<Uuid>,
    /// The user's address or the key's name.
    pub name: String,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// Whoever runs the operator's program.
    pub fn command_line() -> Self {
        Self { kind: ActorKind::CommandLine, id: None, name: "command line".to_owned(), address: None }
    }
}

/// What a change is recorded by where no store is open: the keys may not open, or be what is changed.
pub struct Recording<'a> {
    /// Who changes something.
    pub actor: Actor,
    /// When, Unix seconds.
    pub at: i64,
    /// What the row's id is drawn from.
    pub random: &'a dyn Random,
}

impl Recording<'_> {
    /// Writes the row. It comes last in its transaction.
    pub(crate) async fn write(&self, client: &impl GenericClient, changed: &Changed) -> Result<(), Error> {
        let id = protocol::id::v7(self.at.saturating_mul(1_000), array(self.random));
        insert(client, id, self.at, &self.actor, changed).await
    }
}

/// What was changed.
#[derive(Debug, Clone)]
pub struct Changed {
    /// What was done, like `license.suspend`.
    pub action: &'static str,
    /// To what kind of thing, like `license`.
    pub resource: &'static str,
    /// To which.
    pub id: String,
    /// How it was, JSON.
    pub before: Option<String>,
    /// How it is since, JSON.
    pub after: Option<String>,
}

/// A row of the log.
#[derive(Debug, Clone)]
pub struct AuditLogRow {
    /// Its place in the chain, from 1.
    pub seq: i64,
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub at: i64,
    /// Who made it.
    pub actor: ActorKind,
    /// The user's or the key's id.
    pub actor_id: Option<Uuid>,
    /// The user's address or the key's name.
    pub actor_name: String,
    /// Where the request came from.
    pub address: Option<String>,
    /// What was done.
    pub action: String,
    /// To what kind of thing.
    pub resource: String,
    /// To which.
    pub resource_id: String,
    /// How it was, JSON.
    pub before: Option<String>,
    /// How it is since, JSON.
    pub after: Option<String>,
    /// The hash before it.
    pub previous_hash: [u8; 32],
    /// Its own.
    pub hash: [u8; 32],
}

impl AuditLogRow {
    /// INVARIANT(chain): what its hash has to be after the hash before it.
    pub(crate) fn computed_hash(&self) -> [u8; 32] {
        let (seq, id, at) = (self.seq.to_string(), self.id.to_string(), self.at.to_string());
        let actor_id = self.actor_id.map(|id| id.to_string());
        let members = [
            Some(seq.as_str()),
            Some(&id),
            Some(&at),
            Some(self.actor.as_str()),
            actor_id.as_deref(),
            Some(&self.actor_name),
            self.address.as_deref(),
            Some(&self.action),
            Some(&self.resource),
            Some(&self.resource_id),
            self.before.as_deref(),
            self.after.as_deref(),
        ];
        let mut hash = Sha256::new();
        hash.update(b"qt1:admin-audit");
        hash.update(self.previous_hash);
        for member in members {
            // Its length before it, so that no two rows give the same bytes; of what is absent a length that none has.
            hash.update(member.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
            hash.update(member.unwrap_or_default());
        }
        hash.finalize().into()
    }
}

/// Which rows are listed: those with all that is named here.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// What kind of actor.
    pub actor: Option<ActorKind>,
    /// Which user or key.
    pub actor_id: Option<Uuid>,
    /// What was done.
    pub action: Option<String>,
    /// To what kind of thing.
    pub resource: Option<String>,
    /// To which.
    pub resource_id: Option<String>,
    /// From this instant on.
    pub from: Option<i64>,
    /// Before this one.
    pub to: Option<i64>,
}

/// What walking the chain came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The last row that holds; 0: there is none.
    pub seq: i64,
    /// Its hash.
    pub hash: [u8; 32],
    /// The place that doesn't hold, and what is wrong there.
    pub broken: Option<(i64, &'static str)>,
}

/// Writes a row at the chain's end. What follows in the transaction is held up by nobody else's rows, but holds theirs up:
/// it should be the commit.
pub(crate) async fn insert(
    client: &impl GenericClient,
    id: Uuid,
    at: i64,
    actor: &Actor,
    changed: &Changed,
) -> Result<(), Error> {
    insert_all(client, at, actor, &[(id, changed)]).await
}

/// Writes rows at the chain's end, in their order, as [`insert`] does one.
pub(crate) async fn insert_all(
    client: &impl GenericClient,
    at: i64,
    actor: &Actor,
    all: &[(Uuid, &Changed)],
) -> Result<(), Error> {
    /// A column: that part of every row.
    fn of<'a, T>(rows: &'a [AuditLogRow], part: impl Fn(&'a AuditLogRow) -> T) -> Vec<T> {
        rows.iter().map(part).collect()
    }
    let head =
        row(client, &LOCK_HEAD, &[]).await?.ok_or_else(|| corrupt("admin_audit_head")("it is gone"))?;
    let (mut seq, mut last): (i64, [u8; 32]) = (column(&head, "seq")?, hash(&head, "hash")?);
    let mut new = Vec::with_capacity(all.len());
    for (id, changed) in all {
        seq += 1;
        let mut row = AuditLogRow {
            seq,
            id: *id,
            at,
            actor: actor.kind,
            actor_id: actor.id,
            actor_name: actor.name.clone(),
            address: actor.address.map(|address| address.to_string()),
            action: changed.action.to_owned(),
            resource: changed.resource.to_owned(),
            resource_id: changed.id.clone(),
            before: changed.before.clone(),
            after: changed.after.clone(),
            previous_hash: last,
            hash: [0; 32],
        };
        row.hash = row.computed_hash();
        last = row.hash;
        new.push(row);
    }
    execute(
        client,
        &INSERT,
        &[
            &Timestamp(at),
            &actor.kind.as_str(),
            &actor.id,
            &actor.name,
            &actor.address.map(|address| address.to_string()),
            &seq,
            &last.as_slice(),
            &of(&new, |row| row.seq),
            &of(&new, |row| row.id),
            &of(&new, |row| row.action.as_str()),
            &of(&new, |row| row.resource.as_str()),
            &of(&new, |row| row.resource_id.as_str()),
            &of(&new, |row| row.before.as_deref()),
            &of(&new, |row| row.after.as_deref()),
            &of(&new, |row| row.previous_hash.as_slice()),
            &of(&new, |row| row.hash.as_slice()),
        ],
    )
    .await?;
    Ok(())
}

impl Store {
    /// At most `limit` rows before `before`, the newest first.
    ///
    /// # Errors
    /// When the database isn't available, or a row can't be read.
    pub async fn list_audit(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<AuditLogRow>, Error> {
        let client = self.client().await?;
        let found = rows(
            &**client,
            &LIST,
            &[
                &before.unwrap_or(i64::MAX),
                &limit,
                &filter.actor.map(ActorKind::as_str),
                &filter.actor_id,
                &filter.action,
                &filter.resource,
                &filter.resource_id,
                &filter.from.map(Timestamp),
                &filter.to.map(Timestamp),
            ],
        )
        .await?;
        found.iter().map(audit_row).collect()
    }

    /// Walks the chain from its beginning, in constant memory, to the first row that doesn't hold or to its end.
    ///
    /// # Errors
    /// When the database isn't available, or a row can't be read.
    pub async fn verify_audit(&self) -> Result<Chain, Error> {
        let mut chain = Chain { seq: 0, hash: [0; 32], broken: None };
        // Read first: rows that are written meanwhile are walked too, and lie beyond it.
        let client = self.client().await?;
        let head =
            row(&**client, &HEAD, &[]).await?.ok_or_else(|| corrupt("admin_audit_head")("it is gone"))?;
        let (last, last_hash): (i64, [u8; 32]) = (column(&head, "seq")?, hash(&head, "hash")?);
        loop {
            let found = rows(&**client, &WALK, &[&chain.seq, &STRIDE]).await?;
            if found.is_empty() {
                break;
            }
            for row in &found {
                let row = audit_row(row)?;
                if let Some(broken) = broken(&chain, &row, (last, &last_hash)) {
                    chain.broken = Some((chain.seq + 1, broken));
                    return Ok(chain);
                }
                chain.seq = row.seq;
                chain.hash = row.hash;
            }
        }
        if chain.seq < last {
            chain.broken = Some((chain.seq + 1, "rows are missing at the end"));
        }
        Ok(chain)
    }
}

/// What is wrong with the row after the chain as far as it was walked.
fn broken(chain: &Chain, row: &AuditLogRow, (last, last_hash): (i64, &[u8; 32])) -> Option<&'static str> {
    if row.seq != chain.seq + 1 {
        return Some("a row is missing");
    }
    if row.previous_hash != chain.hash {
        return Some("the hash before it is another");
    }
    if row.hash != row.computed_hash() {
        return Some("the row has changed since it was written");
    }
    (row.seq == last && row.hash != *last_hash).then_some("it isn't the row that was written last")
}

fn hash(row: &Row, name: &'static str) -> Result<[u8; 32], Error> {
    column::<&[u8]>(row, name)?.try_into().map_err(corrupt(name))
}

fn audit_row(row: &Row) -> Result<AuditLogRow, Error> {
    Ok(AuditLogRow {
        seq: column(row, "seq")?,
        id: column(row, "id")?,
        at: instant(row, "at")?,
        actor: column::<&str>(row, "actor")?.parse().map_err(corrupt("actor"))?,
        actor_id: column(row, "actor_id")?,
        actor_name: column(row, "actor_name")?,
        address: column(row, "address")?,
        action: column(row, "action")?,
        resource: column(row, "resource")?,
        resource_id: column(row, "resource_id")?,
        before: column(row, "before")?,
        after: column(row, "after")?,
        previous_hash: hash(row, "previous_hash")?,
        hash: hash(row, "hash")?,
    })
}
