//! The audit log of contacts, as operators read it.

use protocol::HeartbeatId;
use protocol::admin::{Heartbeat, Time};
use store::{HeartbeatFilter, HeartbeatRow, Store};
use uuid::Uuid;

use crate::error::Error;

/// At most `limit` contacts before the one at `before`, the newest first.
///
/// # Errors
/// When the database isn't available, or a row can't be read.
pub async fn list(
    store: &Store,
    filter: &HeartbeatFilter,
    before: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<Heartbeat>, Error> {
    Ok(store.list_heartbeats(filter, before, limit).await?.into_iter().map(shown).collect())
}

fn shown(row: HeartbeatRow) -> Heartbeat {
    Heartbeat {
        id: HeartbeatId::from_uuid(row.id),
        at: Time(row.at),
        install_id: row.install_id,
        license_id: row.license_id,
        operation: row.operation,
        outcome: row.outcome,
        counter: row.counter,
        state: row.state,
        rule: row.rule,
        reason: row.reason,
        profile_id: row.profile_id,
        profile_number: row.profile_number,
        clock_skew: row.clock_skew,
        agent_version: row.agent_version,
    }
}
