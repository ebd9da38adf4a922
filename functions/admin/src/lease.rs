//! Offline leases: listed, revoked.

use protocol::LeaseId;
use protocol::admin::{Lease, LeaseStatus, Time};
use store::{Change, LeaseFilter, LeaseRow, Store};

use crate::error::Error;
use crate::operator::{Expected, Operator, States};

/// At most `limit` leases after `after`, in the order in which they were granted.
///
/// # Errors
/// When the database isn't available.
pub async fn list(
    store: &Store,
    filter: &LeaseFilter,
    after: Option<LeaseId>,
    limit: i64,
) -> Result<Vec<Lease>, Error> {
    let now = store.clock().unix_seconds();
    let leases = store.list_leases(filter, after, limit).await?;
    Ok(leases.iter().map(|row| shown(row, now)).collect())
}

/// A lease.
///
/// # Errors
/// When there is no such lease.
pub async fn show(store: &Store, id: LeaseId) -> Result<Lease, Error> {
    let row = store.find_lease(id).await?.ok_or_else(|| Error::not_found("lease", &id))?;
    Ok(shown(&row, store.clock().unix_seconds()))
}

/// Revokes a lease: it ends when its machine calls, which gets no other until this one's own end. Done twice is done.
///
/// # Errors
/// When there is no such lease, it has changed since, or it is over: renewed, returned or past its end.
pub async fn revoke(operator: &Operator<'_>, id: LeaseId, expected: &Expected) -> Result<Lease, Error> {
    let now = operator.store.clock().unix_seconds();
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = loaded(&change, id, now).await?;
    expected.check(before.version)?;
    let changed = change.revoke_lease(id).await?;
    let after = loaded(&change, id, now).await?;
    match after.status {
        LeaseStatus::Revoked if changed => {
            operator.finish(change, "lease.revoke", id, States::changed(&before, &after)?).await?;
            Ok(after)
        }
        LeaseStatus::Revoked => Ok(after),
        LeaseStatus::Renewed => {
            Err(Error::Conflict(format!("lease {id} was renewed: revoke the install's newer one")))
        }
        status => Err(Error::Conflict(format!("lease {id} is over ({status}): there is nothing to revoke"))),
    }
}

async fn loaded(change: &Change<'_>, id: LeaseId, now: i64) -> Result<Lease, Error> {
    let row = change.find_lease(id).await?.ok_or_else(|| Error::not_found("lease", &id))?;
    Ok(shown(&row, now))
}

fn shown(row: &LeaseRow, now: i64) -> Lease {
    Lease {
        status: row.status(now),
        in_force: row.is_held && now < row.ends_at,
        id: row.id,
        install_id: row.install_id,
        license_id: row.license_id,
        granted_at: Time(row.granted_at),
        ends_at: Time(row.ends_at),
        renewed_at: row.renewed_at.map(Time),
        returned_at: row.returned_at.map(Time),
        revoked_at: row.revoked_at.map(Time),
        version: row.version,
    }
}
