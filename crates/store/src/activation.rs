//! Activation: one transaction under the license's lock, so that no seat is given twice.

use std::sync::Arc;

use deadpool_postgres::{Object, Transaction};
use keyring::Keyring;
use protocol::request::AgentInfo;
use protocol::{Fingerprint, InstallId, InstanceId, LicenseId, LicenseKey};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::audit::{self, Actor, Changed};
use crate::contact::{corrupt, fingerprint, terms};
use crate::sql::{Timestamp, column, execute, instant, instant_or_null, row, rows, statements};
use crate::subject::{Contact, LicenseTerms, PublishedProfile, Subject};
use crate::{Error, Store, lease, seats};

statements! {
    /// A license by its key's blind index, locked: until the transaction's end nobody else activates under it.
    FIND_LICENSE (BYTEA_ARRAY) "-- activation.find_license
SELECT l.id, l.product, l.max_installs, l.starts_at, l.expires_at, l.lease_max_seconds, l.entitlements::text AS entitlements,
       l.suspended_at AS license_suspended_at, l.revoked_at AS license_revoked_at,
       v.profile_id, v.number AS profile_number, v.knobs::text AS knobs
FROM licenses l
JOIN profiles p ON p.id = l.profile_id
JOIN profile_versions v ON v.profile_id = p.id AND v.number = p.active_number
WHERE l.key_lookup = ANY($1)
FOR UPDATE OF l"

    /// Installs of a license that share a component with a fingerprint.
    CANDIDATES (UUID, TEXT_ARRAY) "-- activation.candidates
SELECT id, bound, activated_at, revoked_at, activation_nonce, activation_at, reactivations, next_reactivation_free
FROM installs
WHERE license_id = $1 AND (deactivated_at IS NULL OR revoked_at IS NOT NULL) AND string_to_array(bound, E'\\n') && $2"

    /// How many installs a license ever had.
    EVER (UUID) "-- activation.ever
SELECT count(*) AS ever FROM installs WHERE license_id = $1"

    /// A new install. What every contact writes follows by contact.commit.
    INSERT (UUID, UUID, TEXT, TIMESTAMPTZ, BOOL, TEXT, BYTEA, TEXT, BYTEA, TEXT, TEXT) "-- activation.insert
INSERT INTO installs (id, license_id, name, activated_at, activation_at, last_contact, awaiting_approval, bound,
                      activation_nonce, observed, instance_id, agent_version, agent_platform, holds_seat, high,
                      accepted_window, recent_nonces, rate_arrival)
VALUES ($1, $2, $3, $4, $4, $4, $5, $6, $7, $8, $9, $10, $11, true, 0, decode(repeat('00', 32), 'hex'), '', 0)"

    /// The same machine again.
    REACTIVATE (UUID, BYTEA, TIMESTAMPTZ, TIMESTAMPTZ_ARRAY, BOOL, TEXT, BOOL) "-- activation.reactivate
UPDATE installs SET activation_nonce = $2, activation_at = $3, reactivations = $4, next_reactivation_free = $5,
       name = coalesce($6, name), awaiting_approval = $7,
       version = version + CASE WHEN awaiting_approval = $7 THEN 0 ELSE 1 END
WHERE id = $1"
}

/// A license that somebody wants to activate, as the database has it.
#[derive(Debug)]
pub struct LicenseToActivate {
    /// The license.
    pub id: LicenseId,
    /// Its terms.
    pub terms: LicenseTerms,
    /// The profile that judges its installs.
    pub profile: Arc<PublishedProfile>,
}

/// An install that may be the machine that activates.
#[derive(Debug)]
pub struct Candidate {
    /// The install.
    pub id: InstallId,
    /// What it is bound to.
    pub bound: Fingerprint,
    /// First activation.
    pub activated_at: i64,
    /// Since when it is revoked.
    pub revoked_at: Option<i64>,
    /// Hash of its last activation's nonce and fingerprint.
    pub activation_nonce: Vec<u8>,
    /// When it was last activated.
    pub activation_at: i64,
    /// Reactivations that were counted.
    pub reactivations: Vec<i64>,
    /// The next one isn't.
    pub next_reactivation_free: bool,
}

/// A machine that asks to be activated: what it says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// Its components.
    pub fingerprint: &'a Fingerprint,
    /// The process that asks.
    pub instance_id: &'a InstanceId,
    /// The program.
    pub agent: &'a AgentInfo,
    /// What people call it.
    pub name: Option<&'a str>,
}

/// What an activation writes of an install besides the contact.
#[derive(Debug)]
pub struct Activated {
    /// Hash of the activation's nonce and fingerprint.
    pub nonce: [u8; 32],
    /// Whether it waits for an operator.
    pub awaiting_approval: bool,
    /// The counted reactivations from now on.
    pub reactivations: Vec<i64>,
    /// Whether the next one is free.
    pub next_reactivation_free: bool,
}

/// An activation under way; nothing of it stays unless it is committed.
pub struct Activation<'a> {
    pub(crate) store: &'a Store,
    pub(crate) tx: Transaction<'a>,
    keyring: Arc<Keyring>,
}

/// A connection for one transaction, and what seals in it.
pub struct Connection {
    pub(crate) client: Object,
    pub(crate) keyring: Arc<Keyring>,
}

impl Store {
    /// A connection for one transaction, in which a secret may be sealed.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn connection(&self) -> Result<Connection, Error> {
        let client = self.client().await?;
        let keyring = self.sealing(&**client, 1).await?;
        Ok(Connection { client, keyring })
    }

    /// Begins an activation.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn begin_activation<'a>(
        &'a self,
        connection: &'a mut Connection,
    ) -> Result<Activation<'a>, Error> {
        let keyring = connection.keyring.clone();
        let tx = connection.client.transaction().await.map_err(Error::from_connection)?;
        Ok(Activation { store: self, tx, keyring })
    }
}

impl Activation<'_> {
    /// The license of a key, locked. A malformed key (`None`) is looked for too: nobody shall tell by the time.
    ///
    /// # Errors
    /// When the database isn't available, or the row can't be read.
    pub async fn find_license(&self, key: Option<&LicenseKey>) -> Result<Option<LicenseToActivate>, Error> {
        let canonical = key.map_or("", |key| key.canonical());
        let (mut found, is_all) = self.look_up(&self.keyring, canonical).await?;
        if !is_all {
            self.store.refresh_keys(&*self.tx, None).await?;
            (found, _) = self.look_up(&self.store.keyring(), canonical).await?;
        }
        let Some(row) = found else { return Ok(None) };
        let id = LicenseId::from_uuid(column(&row, "id")?);
        Ok(Some(LicenseToActivate { id, terms: terms(&row)?, profile: self.store.profile(&row)? }))
    }

    /// Looks a license key up under every lookup key of a keyring, and asks whether these are all that there are: in one
    /// round trip, and whatever is found, so that nobody tells by the time.
    async fn look_up(&self, keyring: &Keyring, canonical: &str) -> Result<(Option<Row>, bool), Error> {
        let lookups = keyring.lookups(canonical);
        let lookups: Vec<&[u8]> = lookups.iter().map(<[u8; 32]>::as_slice).collect();
        let params = [&lookups as &(dyn ToSql + Sync)];
        // Sent one behind the other: the second sees what the first may have missed.
        tokio::try_join!(
            row(&*self.tx, &FIND_LICENSE, &params),
            self.store.knows_lookup_keys(&*self.tx, keyring)
        )
    }

    /// The license's installs, deactivated ones aside unless they were revoked, that share at least one component with a fingerprint.
    ///
    /// # Errors
    /// When the database isn't available, or a row can't be read.
    pub async fn candidates(
        &self,
        license: LicenseId,
        observed: &Fingerprint,
    ) -> Result<Vec<Candidate>, Error> {
        let lines = observed.lines();
        let lines: Vec<&str> = lines.split('\n').collect();
        let candidate = |row: &Row| {
            Ok(Candidate {
                id: InstallId::from_uuid(column(row, "id")?),
                bound: fingerprint(row, "bound")?,
                activated_at: instant(row, "activated_at")?,
                revoked_at: instant_or_null(row, "revoked_at")?,
                activation_nonce: column(row, "activation_nonce")?,
                activation_at: instant(row, "activation_at")?,
                reactivations: column::<Vec<Timestamp>>(row, "reactivations")?
                    .iter()
                    .map(|at| at.0)
                    .collect(),
                next_reactivation_free: column(row, "next_reactivation_free")?,
            })
        };
        rows(&*self.tx, &CANDIDATES, &[license.as_uuid(), &lines]).await?.iter().map(candidate).collect()
    }

    /// How many installs of the license hold a seat.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn seats_taken(&self, license: &LicenseToActivate, now: i64) -> Result<i64, Error> {
        seats::taken(&*self.tx, license.id, license.profile.knobs.release_silent_after, now).await
    }

    /// The seat that an install of the license is due, which calls now.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn seat_due(
        &self,
        license: &LicenseToActivate,
        subject: &Subject,
        now: i64,
    ) -> Result<seats::Seat, Error> {
        seats::due(&*self.tx, subject, i64::from(license.terms.max_installs), now).await
    }

    /// How many installs of the license are on a lease at `now`, one aside.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn on_lease_besides(
        &self,
        license: LicenseId,
        install: InstallId,
        now: i64,
    ) -> Result<i64, Error> {
        lease::on_lease_besides(&*self.tx, license, install, now).await
    }

    /// How many installs the license ever had.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn ever_activated(&self, license: LicenseId) -> Result<i64, Error> {
        row(&*self.tx, &EVER, &[license.as_uuid()]).await?.map_or(Ok(0), |row| column(&row, "ever"))
    }

    /// Reads an install as contacts do.
    ///
    /// # Errors
    /// When the database isn't available, or the row can't be read.
    pub async fn load_subject(&self, id: InstallId) -> Result<Subject, Error> {
        let subject = self.store.load_subjects_in(&*self.tx, &[id]).await?.pop();
        subject.ok_or_else(|| corrupt("install")("it is gone"))
    }

    /// Makes a new install of a machine, and reads it back.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn insert_install(
        &self,
        id: InstallId,
        license: LicenseId,
        now: i64,
        machine: &Machine<'_>,
        activated: &Activated,
    ) -> Result<Subject, Error> {
        let lines = machine.fingerprint.lines();
        execute(
            &*self.tx,
            &INSERT,
            &[
                id.as_uuid(),
                license.as_uuid(),
                &machine.name,
                &Timestamp(now),
                &activated.awaiting_approval,
                &lines,
                &activated.nonce.as_slice(),
                &lines,
                &machine.instance_id.as_bytes().as_slice(),
                &machine.agent.version,
                &machine.agent.platform,
            ],
        )
        .await?;
        self.load_subject(id).await
    }

    /// Writes that the same machine was activated again.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn reactivate(
        &self,
        id: InstallId,
        now: i64,
        machine: &Machine<'_>,
        activated: &Activated,
    ) -> Result<(), Error> {
        let reactivations: Vec<Timestamp> = activated.reactivations.iter().map(|at| Timestamp(*at)).collect();
        let nonce = activated.nonce.as_slice();
        execute(
            &*self.tx,
            &REACTIVATE,
            &[
                id.as_uuid(),
                &nonce,
                &Timestamp(now),
                &reactivations,
                &activated.next_reactivation_free,
                &machine.name,
                &activated.awaiting_approval,
            ],
        )
        .await?;
        Ok(())
    }

    /// Writes the contact, and to the audit log that an operator has had it so, and ends the transaction. Returns false, and
    /// leaves everything as it was, when the install has changed since it was read.
    ///
    /// # Errors
    /// When the database isn't available (then it isn't known whether it was written), or refuses.
    pub async fn commit_for(self, contact: Contact, actor: &Actor, changed: &Changed) -> Result<bool, Error> {
        if self.store.commit_contacts_in(&*self.tx, &self.keyring, &[contact]).await?.is_empty() {
            return Ok(false);
        }
        let (id, now) = (self.store.new_id(), self.store.clock().unix_seconds());
        audit::insert(&*self.tx, id, now, actor, changed).await?;
        self.tx.commit().await.map_err(Error::from_connection)?;
        Ok(true)
    }

    /// Writes the contact and ends the transaction. Returns false, and leaves everything as it was, when the install
    /// has changed since it was read.
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
