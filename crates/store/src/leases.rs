//! Leases as operators see them: listed, revoked.

use protocol::admin::LeaseStatus;
use protocol::{InstallId, LeaseId, LicenseId};
use tokio_postgres::Row;

use crate::change::Change;
use crate::sql::{Timestamp, column, execute, instant, instant_or_null, row, rows, statements};
use crate::{Error, Store};

statements! {
    /// Leases after one, by id: in the order in which they were granted. Planned for the parameters that it comes with,
    /// each filter leaves what one of the indexes is for.
    LIST (UUID, INT8, UUID, UUID, TEXT, TIMESTAMPTZ) "-- leases.list
SELECT s.id, s.install_id, s.license_id, s.granted_at, s.ends_at, s.renewed_at, s.returned_at, s.revoked_at, s.version,
       i.lease_id IS NOT NULL AS is_held
FROM leases s
LEFT JOIN installs i ON i.lease_id = s.id
WHERE s.id > $1 AND ($3::uuid IS NULL OR s.license_id = $3) AND ($4::uuid IS NULL OR s.install_id = $4)
  AND ($5::text IS DISTINCT FROM 'revoked' OR s.revoked_at IS NOT NULL)
  AND ($5::text IS DISTINCT FROM 'returned' OR s.returned_at IS NOT NULL)
  AND ($5::text IS DISTINCT FROM 'renewed' OR s.renewed_at IS NOT NULL)
  AND ($5::text IS DISTINCT FROM 'ended' OR (s.revoked_at IS NULL AND s.returned_at IS NULL AND s.renewed_at IS NULL
                                             AND s.ends_at <= $6))
ORDER BY s.id LIMIT $2"

    /// Live ones: found by the installs that have them.
    LIST_LIVE (UUID, INT8, UUID, UUID, TIMESTAMPTZ) "-- leases.list_live
SELECT s.id, s.install_id, s.license_id, s.granted_at, s.ends_at, s.renewed_at, s.returned_at, s.revoked_at, s.version,
       true AS is_held
FROM (SELECT lease_id FROM installs
      WHERE lease_id > $1 AND ($3::uuid IS NULL OR license_id = $3) AND ($4::uuid IS NULL OR id = $4)
        AND lease_revoked_at IS NULL AND lease_ends_at > $5
      ORDER BY lease_id LIMIT $2) i
JOIN leases s ON s.id = i.lease_id
ORDER BY s.id"

    /// One lease.
    FIND (UUID) "-- leases.find
SELECT s.id, s.install_id, s.license_id, s.granted_at, s.ends_at, s.renewed_at, s.returned_at, s.revoked_at, s.version,
       i.lease_id IS NOT NULL AS is_held
FROM leases s
LEFT JOIN installs i ON i.lease_id = s.id
WHERE s.id = $1"

    /// Ends a live lease at its install's next contact. The install's row comes first, as it does in a contact.
    REVOKE (UUID, TIMESTAMPTZ) "-- leases.revoke
WITH moved AS (
    UPDATE installs SET lease_revoked_at = $2, revision = revision + 1
    WHERE lease_id = $1 AND lease_revoked_at IS NULL AND lease_ends_at > $2
    RETURNING lease_id
)
UPDATE leases SET revoked_at = $2, version = version + 1 FROM moved WHERE leases.id = moved.lease_id"
}

/// A lease as it stands.
#[derive(Debug, Clone)]
pub struct LeaseRow {
    /// Its id.
    pub id: LeaseId,
    /// Whose it is.
    pub install_id: InstallId,
    /// The install's license.
    pub license_id: LicenseId,
    /// When it was granted.
    pub granted_at: i64,
    /// Its end.
    pub ends_at: i64,
    /// When the install's next one took its place.
    pub renewed_at: Option<i64>,
    /// When the install gave it back.
    pub returned_at: Option<i64>,
    /// When an operator revoked it.
    pub revoked_at: Option<i64>,
    /// Whether the install has not been heard of since something ended it.
    pub is_held: bool,
    /// Moves with every change.
    pub version: i64,
}

impl LeaseRow {
    /// What has become of it by `now`.
    pub fn status(&self, now: i64) -> LeaseStatus {
        if self.revoked_at.is_some() {
            LeaseStatus::Revoked
        } else if self.returned_at.is_some() {
            LeaseStatus::Returned
        } else if self.renewed_at.is_some() {
            LeaseStatus::Renewed
        } else if self.ends_at <= now {
            LeaseStatus::Ended
        } else {
            LeaseStatus::Live
        }
    }
}

/// Which leases are listed: those with all that is named here.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeaseFilter {
    /// Of which license.
    pub license_id: Option<LicenseId>,
    /// Of which install.
    pub install_id: Option<InstallId>,
    /// What has become of them.
    pub status: Option<LeaseStatus>,
}

impl Store {
    /// At most `limit` leases after `after`, in the order in which they were granted.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_leases(
        &self,
        filter: &LeaseFilter,
        after: Option<LeaseId>,
        limit: i64,
    ) -> Result<Vec<LeaseRow>, Error> {
        let after = after.map_or(uuid::Uuid::nil(), |id| *id.as_uuid());
        let license = filter.license_id.map(|id| *id.as_uuid());
        let install = filter.install_id.map(|id| *id.as_uuid());
        let status = filter.status.map(LeaseStatus::as_str);
        let now = Timestamp(self.clock().unix_seconds());
        let client = self.client().await?;
        let found = match filter.status {
            Some(LeaseStatus::Live) => {
                rows(&**client, &LIST_LIVE, &[&after, &limit, &license, &install, &now]).await?
            }
            _ => rows(&**client, &LIST, &[&after, &limit, &license, &install, &status, &now]).await?,
        };
        found.iter().map(lease).collect()
    }

    /// A lease.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_lease(&self, id: LeaseId) -> Result<Option<LeaseRow>, Error> {
        row(&**self.client().await?, &FIND, &[id.as_uuid()]).await?.as_ref().map(lease).transpose()
    }
}

impl Change<'_> {
    /// A lease. It isn't locked: its install would have to be first.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_lease(&self, id: LeaseId) -> Result<Option<LeaseRow>, Error> {
        row(&*self.tx, &FIND, &[id.as_uuid()]).await?.as_ref().map(lease).transpose()
    }

    /// Revokes a lease that is live. Returns whether it did.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn revoke_lease(&self, id: LeaseId) -> Result<bool, Error> {
        Ok(execute(&*self.tx, &REVOKE, &[id.as_uuid(), &self.now()]).await? > 0)
    }
}

fn lease(row: &Row) -> Result<LeaseRow, Error> {
    Ok(LeaseRow {
        id: LeaseId::from_uuid(column(row, "id")?),
        install_id: InstallId::from_uuid(column(row, "install_id")?),
        license_id: LicenseId::from_uuid(column(row, "license_id")?),
        granted_at: instant(row, "granted_at")?,
        ends_at: instant(row, "ends_at")?,
        renewed_at: instant_or_null(row, "renewed_at")?,
        returned_at: instant_or_null(row, "returned_at")?,
        revoked_at: instant_or_null(row, "revoked_at")?,
        is_held: column(row, "is_held")?,
        version: column(row, "version")?,
    })
}
