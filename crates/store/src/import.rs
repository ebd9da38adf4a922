//! Licenses and installs that come from another license server.

use std::collections::HashMap;

use protocol::{Fingerprint, InstallId, LicenseId};
use uuid::Uuid;

use crate::change::Change;
use crate::sql::{Timestamp, column, execute, row, rows, statements};
use crate::{Error, Store};

statements! {
    /// Which of these were brought before.
    FIND (TEXT, TEXT_ARRAY) "-- import.find
SELECT source_id, license_id FROM imports WHERE source = $1 AND source_id = ANY($2)"

    /// Notes that a license was brought, unless it was before: whoever brings it at the same time waits for this.
    CLAIM (TEXT, TEXT, UUID) "-- import.claim
INSERT INTO imports (source, source_id, license_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING license_id"

    /// An install that holds its seat until its agent activates: it has no secret yet, and what it activates with first
    /// counts nothing.
    INSERT_INSTALL (UUID, UUID, TEXT, TIMESTAMPTZ, TIMESTAMPTZ, TEXT, TEXT) "-- import.insert_install
INSERT INTO installs (id, license_id, name, activated_at, activation_at, last_contact, awaiting_approval, bound,
                      activation_nonce, next_reactivation_free, observed, instance_id, agent_version, agent_platform,
                      holds_seat, high, accepted_window, recent_nonces, rate_arrival)
VALUES ($1, $2, $3, $4, $4, $5, false, $6, '', true, $6, '', '', $7, true, 0, decode(repeat('00', 32), 'hex'), '', 0)"
}

/// A machine that another server knew.
#[derive(Debug, Clone)]
pub struct KnownMachine {
    /// What its agent will be known by.
    pub fingerprint: Fingerprint,
    /// What people call it; 1 to 128 characters.
    pub name: Option<String>,
    /// What it runs on; empty: not known.
    pub platform: String,
    /// When it was activated there: its place in the order of seats.
    pub activated_at: i64,
}

impl Store {
    /// Which of another server's licenses were brought before, and as which.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_imported(
        &self,
        source: &str,
        ids: &[&str],
    ) -> Result<HashMap<String, LicenseId>, Error> {
        let found = rows(&**self.client().await?, &FIND, &[&source, &ids]).await?;
        let read = |row| Ok((column(row, "source_id")?, LicenseId::from_uuid(column(row, "license_id")?)));
        found.iter().map(read).collect()
    }
}

impl Change<'_> {
    /// Notes that a license comes from another server. Returns false when it was brought before.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn claim_import(
        &self,
        source: &str,
        source_id: &str,
        license: LicenseId,
    ) -> Result<bool, Error> {
        Ok(row(&*self.tx, &CLAIM, &[&source, &source_id, license.as_uuid()]).await?.is_some())
    }

    /// Makes an install of a machine whose agent will activate.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn insert_known_install(
        &self,
        license: LicenseId,
        machine: &KnownMachine,
    ) -> Result<InstallId, Error> {
        let id: Uuid = self.store.new_id();
        let lines = machine.fingerprint.lines();
        execute(
            &*self.tx,
            &INSERT_INSTALL,
            &[
                &id,
                license.as_uuid(),
                &machine.name,
                &Timestamp(machine.activated_at),
                &self.now(),
                &lines,
                &machine.platform,
            ],
        )
        .await?;
        Ok(InstallId::from_uuid(id))
    }
}
