//! Data keys and lookup keys: listed, destroyed.

use keyring::{Context, Purpose};
use serde::Serialize;
use store::{Store, WrappedKeyRow};

use crate::Operator;
use crate::error::Error;
use protocol::admin::Time;

/// How many values a data key seals at most.
const MOST_SEALS: i64 = 1 << 31;

/// A data key or a lookup key as it is answered.
#[derive(Debug, Serialize)]
pub struct WrappedKey {
    /// `data-key` or `lookup-key`.
    pub purpose: &'static str,
    /// From 1.
    pub version: u32,
    /// `active`, `replaced` (something is left under it), `retired` or `destroyed`.
    pub status: &'static str,
    /// The key-encryption key that wraps it.
    pub wrapped_by: String,
    /// Of a replaced one: how many values are left under it and those before it.
    pub left: Option<u64>,
    /// Of a data key: how many of 2^31 seals are reserved.
    pub seals_reserved: Option<i64>,
    /// When it was made.
    pub created_at: Time,
    /// Since when another is active.
    pub replaced_at: Option<Time>,
    /// Since when nothing is left under it.
    pub retired_at: Option<Time>,
    /// Since when it is no more.
    pub destroyed_at: Option<Time>,
}

/// Every data key and lookup key that there ever was. While one is rotated, everything that is sealed is counted.
///
/// # Errors
/// When the database isn't available.
pub async fn list(store: &Store) -> Result<Vec<WrappedKey>, Error> {
    let mut keys = Vec::new();
    for row in store.list_wrapped_keys().await? {
        let left = if row.is_leaving() { Some(store.count_left(row.context).await?) } else { None };
        keys.push(WrappedKey::of(row, left));
    }
    Ok(keys)
}

/// What has to be seen to.
#[must_use]
pub fn warnings(keys: &[WrappedKey]) -> Vec<String> {
    let spent = |key: &&WrappedKey| {
        key.status == "active" && key.seals_reserved.is_some_and(|seals| seals > MOST_SEALS / 2)
    };
    let spent = keys.iter().filter(spent).map(|key| {
        format!("data key {} has sealed half of what it may: qubictether keys rotate --data", key.version)
    });
    let begun = keys.iter().filter(|key| key.status == "replaced").map(|key| {
        let option = if key.purpose == Purpose::DataKey.as_str() { "data" } else { "lookup" };
        format!(
            "the rotation of {} {} isn't over: qubictether keys rotate --{option} goes on with it",
            key.purpose, key.version
        )
    });
    spent.chain(begun).collect()
}

/// Destroys a retired key: what is sealed under it and comes back, from an old copy, opens no more. Done twice is done.
///
/// # Errors
/// When there is no such key, it hasn't retired, or something is under it again.
pub async fn destroy(operator: &Operator<'_>, key: Context) -> Result<Vec<WrappedKey>, Error> {
    operator.store.destroy_wrapped_key(key, &operator.actor).await?;
    list(operator.store).await
}

impl WrappedKey {
    fn of(row: WrappedKeyRow, left: Option<u64>) -> Self {
        let status = match (row.destroyed_at, row.retired_at, row.replaced_at) {
            (Some(_), ..) => "destroyed",
            (_, Some(_), _) => "retired",
            (.., Some(_)) => "replaced",
            _ => "active",
        };
        Self {
            purpose: row.context.purpose.as_str(),
            version: row.context.version,
            status,
            wrapped_by: row.wrapped_by,
            left,
            seals_reserved: (row.context.purpose == Purpose::DataKey).then_some(row.seals_reserved),
            created_at: Time(row.created_at),
            replaced_at: row.replaced_at.map(Time),
            retired_at: row.retired_at.map(Time),
            destroyed_at: row.destroyed_at.map(Time),
        }
    }
}
