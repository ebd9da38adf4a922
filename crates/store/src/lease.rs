//! Offline leases: the one that an install has, granted and returned with a contact.
//!
//! INVARIANT(lease): an install's `lease_*` columns are the lease in force when it was last heard of, which is the
//! engine's fact. Each contact ends there what has ended, or was revoked, since the one before it. Who gets a lease under
//! a bound of the license's holds the license's lock while others are counted.

use std::sync::Arc;

use deadpool_postgres::Transaction;
use keyring::Keyring;
use protocol::{InstallId, LeaseId, LicenseId};
use tokio_postgres::{GenericClient, Row};

use crate::activation::Connection;
use crate::sql::{Timestamp, column, execute, instant, instant_or_null, row, statements};
use crate::subject::{Contact, Subject};
use crate::{Error, Store, seats};

statements! {
    /// A new lease, in the place of the one that the install had.
    INSERT (UUID, UUID, UUID, TIMESTAMPTZ, TIMESTAMPTZ, UUID) "-- lease.insert
WITH renewed AS (
    UPDATE leases SET renewed_at = $4, version = version + 1 WHERE id = $6
)
INSERT INTO leases (id, install_id, license_id, granted_at, ends_at) VALUES ($1, $2, $3, $4, $5)"

    /// Given back.
    RETURN (UUID, TIMESTAMPTZ) "-- lease.return
UPDATE leases SET returned_at = $2, version = version + 1 WHERE id = $1"

    /// How many installs of a license are on a lease at $3, one aside.
    ON_LEASE (UUID, UUID, TIMESTAMPTZ) "-- lease.on_lease
SELECT count(*) AS installs FROM installs
WHERE license_id = $1 AND id <> $2 AND lease_id IS NOT NULL AND lease_ends_at > $3"
}

/// The lease that an install has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveLease {
    /// The lease.
    pub id: LeaseId,
    /// Its end.
    pub ends_at: i64,
    /// Since when it is revoked, which the install has not heard yet.
    pub revoked_at: Option<i64>,
}

impl LiveLease {
    /// Whether its end is still to come. What is revoked runs on until the install is heard of.
    pub fn runs(&self, now: i64) -> bool {
        now < self.ends_at
    }
}

/// What a contact does to leases, besides what it does to its install.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LeaseChange {
    Granted { lease: LeaseId, at: i64, ends_at: i64, renewed: Option<LeaseId> },
    Returned { lease: LeaseId, at: i64 },
}

/// The lease in a row of an install.
pub(crate) fn live(row: &Row) -> Result<Option<LiveLease>, Error> {
    let Some(id) = column(row, "lease_id")? else { return Ok(None) };
    Ok(Some(LiveLease {
        id: LeaseId::from_uuid(id),
        ends_at: instant(row, "lease_ends_at")?,
        revoked_at: instant_or_null(row, "lease_revoked_at")?,
    }))
}

impl Subject {
    /// Takes note that it is heard of: a lease that has ended or was revoked is in force no more, and after a revoked
    /// one it gets no other until that one's own end.
    pub fn hear(&mut self, now: i64) {
        self.last_contact = now;
        let Some(lease) = self.lease.take() else { return };
        if lease.revoked_at.is_some() {
            self.lease_barred_until = Some(lease.ends_at);
        } else if lease.runs(now) {
            self.lease = Some(lease);
        }
    }

    /// Gives it a lease, in the place of the one that it has; the next commit writes it.
    pub fn grant_lease(&mut self, lease: LeaseId, now: i64, ends_at: i64) {
        let renewed = self.lease.replace(LiveLease { id: lease, ends_at, revoked_at: None });
        let renewed = renewed.map(|renewed| renewed.id);
        self.lease_change = Some(LeaseChange::Granted { lease, at: now, ends_at, renewed });
    }

    /// Ends its lease, if it has one; the next commit writes it.
    pub fn return_lease(&mut self, now: i64) {
        let change = |lease: LiveLease| LeaseChange::Returned { lease: lease.id, at: now };
        self.lease_change = self.lease.take().map(change);
    }
}

/// Writes what a contact did to leases, once the contact itself is written.
pub(crate) async fn write(
    client: &impl GenericClient,
    subject: &Subject,
    change: &LeaseChange,
) -> Result<(), Error> {
    match change {
        LeaseChange::Granted { lease, at, ends_at, renewed } => {
            execute(
                client,
                &INSERT,
                &[
                    lease.as_uuid(),
                    subject.id.as_uuid(),
                    subject.license_id.as_uuid(),
                    &Timestamp(*at),
                    &Timestamp(*ends_at),
                    &renewed.map(|lease| *lease.as_uuid()),
                ],
            )
            .await?
        }
        LeaseChange::Returned { lease, at } => {
            execute(client, &RETURN, &[lease.as_uuid(), &Timestamp(*at)]).await?
        }
    };
    Ok(())
}

/// How many installs of a license are on a lease at `now`, one aside. Whoever grants one by the answer holds the license's
/// lock.
pub(crate) async fn on_lease_besides(
    client: &impl GenericClient,
    license: LicenseId,
    install: InstallId,
    now: i64,
) -> Result<i64, Error> {
    let counted = row(client, &ON_LEASE, &[license.as_uuid(), install.as_uuid(), &Timestamp(now)]).await?;
    counted.map_or(Ok(0), |row| column(&row, "installs"))
}

/// A license under its lock: nobody else gets a seat or a lease of it until the transaction's end.
pub struct LockedLicense<'a> {
    store: &'a Store,
    tx: Transaction<'a>,
    keyring: Arc<Keyring>,
    license: LicenseId,
}

impl Store {
    /// Locks a license.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn lock_license<'a>(
        &'a self,
        connection: &'a mut Connection,
        license: LicenseId,
    ) -> Result<LockedLicense<'a>, Error> {
        let keyring = connection.keyring.clone();
        let tx = connection.client.transaction().await.map_err(Error::from_connection)?;
        seats::lock_license(&*tx, license).await?;
        Ok(LockedLicense { store: self, tx, keyring, license })
    }
}

impl LockedLicense<'_> {
    /// How many installs of the license are on a lease at `now`, one aside.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn on_lease_besides(&self, install: InstallId, now: i64) -> Result<i64, Error> {
        on_lease_besides(&*self.tx, self.license, install, now).await
    }

    /// Writes a contact and ends the transaction. Returns false, and leaves everything as it was, when the install has
    /// changed since it was read.
    ///
    /// # Errors
    /// When the database isn't available (then it isn't known whether it was written), or refuses.
    pub async fn commit(self, contact: Contact) -> Result<bool, Error> {
        if self.store.commit_contacts_in(&*self.tx, &self.keyring, &[contact]).await?.is_empty() {
            return Ok(false);
        }
        self.tx.commit().await.map_err(Error::from_connection)?;
        Ok(true)
    }
}
