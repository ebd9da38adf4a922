//! The admin audit log: listed, and its chain walked.

use std::fmt::Write;

use protocol::admin::{AuditRow, ChainCheck, Time};
use protocol::{ActorId, AuditId};
use serde_json::value::RawValue;
use store::{AuditFilter, AuditLogRow, Store};

use crate::error::Error;

/// At most `limit` rows before the one whose place is `before`, the newest first.
///
/// # Errors
/// When the database isn't available.
pub async fn list(
    store: &Store,
    filter: &AuditFilter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<AuditRow>, Error> {
    Ok(store.list_audit(filter, before, limit).await?.into_iter().map(shown).collect())
}

/// Walks the chain of hashes from its beginning.
///
/// # Errors
/// When the database isn't available.
pub async fn verify(store: &Store) -> Result<ChainCheck, Error> {
    let chain = store.verify_audit().await?;
    Ok(ChainCheck {
        intact: chain.broken.is_none(),
        rows: chain.seq,
        hash: hex(&chain.hash),
        broken_at: chain.broken.map(|(at, _)| at),
        detail: chain.broken.map(|(_, detail)| detail.to_owned()),
    })
}

fn shown(row: AuditLogRow) -> AuditRow {
    let raw = |json: Option<String>| json.and_then(|json| RawValue::from_string(json).ok());
    AuditRow {
        seq: row.seq,
        id: AuditId::from_uuid(row.id),
        at: Time(row.at),
        actor: row.actor,
        actor_id: row.actor_id.map(ActorId::from_uuid),
        actor_name: row.actor_name,
        address: row.address,
        action: row.action,
        resource: row.resource,
        resource_id: row.resource_id,
        before: raw(row.before),
        after: raw(row.after),
        hash: hex(&row.hash),
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
