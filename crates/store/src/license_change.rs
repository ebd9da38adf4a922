//! Licenses changed by operators.

use keyring::{Keyring, Place};
use protocol::offline::KeyDigest;
use protocol::{LicenseId, LicenseKey};
use tokio_postgres::types::ToSql;
use zeroize::Zeroizing;

use crate::Error;
use crate::change::Change;
use crate::contact::corrupt;
use crate::license::{LicenseRow, NewLicense, license};
use crate::sql::{Sql, Timestamp, column, execute, row, statements};

statements! {
    /// A new license.
    INSERT (
        UUID, TEXT, TEXT, UUID, BYTEA, BYTEA, INT4, TIMESTAMPTZ, TIMESTAMPTZ, TEXT, INT8, TEXT, TIMESTAMPTZ, BYTEA,
        INT4
    ) "-- license_change.insert
INSERT INTO licenses (id, product, customer, profile_id, key_lookup, key_sealed, max_installs, starts_at, expires_at,
                      entitlements, lease_max_seconds, metadata, created_at, updated_at, key_digest,
                      lookup_version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::json, $11, $12::json, $13, $13, $14, $15)"

    /// A license, locked. Whoever activates under it waits.
    LOCK (UUID) "-- license_change.lock
SELECT id, product, customer, profile_id, max_installs, starts_at, expires_at, entitlements::text AS entitlements,
       lease_max_seconds, metadata::text AS metadata, suspended_at, revoked_at, version, created_at, updated_at
FROM licenses WHERE id = $1 FOR UPDATE"

    /// Its terms; what it is for stays.
    UPDATE (UUID, TEXT, UUID, INT4, TIMESTAMPTZ, TIMESTAMPTZ, TEXT, INT8, TEXT, TIMESTAMPTZ) "-- license_change.update
UPDATE licenses SET customer = $2, profile_id = $3, max_installs = $4, starts_at = $5, expires_at = $6,
       entitlements = $7::json, lease_max_seconds = $8, metadata = $9::json, version = version + 1, updated_at = $10
WHERE id = $1"

    /// The profile that judges a license's installs.
    PROFILE (UUID) "-- license_change.profile
SELECT v.profile_id, v.number AS profile_number, v.knobs::text AS knobs
FROM profiles p JOIN profile_versions v ON v.profile_id = p.id AND v.number = p.active_number
WHERE p.id = $1"

    /// Suspends it.
    SUSPEND (UUID, TIMESTAMPTZ) "-- license_change.suspend
UPDATE licenses SET suspended_at = $2, version = version + 1, updated_at = $2 WHERE id = $1"

    /// Ends a suspension.
    RESUME (UUID, TIMESTAMPTZ) "-- license_change.resume
UPDATE licenses SET suspended_at = NULL, version = version + 1, updated_at = $2 WHERE id = $1"

    /// Ends it for good.
    REVOKE (UUID, TIMESTAMPTZ) "-- license_change.revoke
UPDATE licenses SET revoked_at = $2, version = version + 1, updated_at = $2 WHERE id = $1"

    /// Another key; the one before activates nothing any more.
    REKEY (UUID, BYTEA, BYTEA, BYTEA, TIMESTAMPTZ, INT4) "-- license_change.rekey
UPDATE licenses SET key_lookup = $2, key_sealed = $3, key_digest = $4, lookup_version = $6, version = version + 1,
       updated_at = $5
WHERE id = $1"

    /// The key, sealed.
    KEY (UUID) "-- license_change.key
SELECT key_sealed FROM licenses WHERE id = $1"
}

fn place(id: LicenseId) -> Place<'static> {
    Place { table: "licenses", column: "key_sealed", row: *id.as_uuid().as_bytes() }
}

/// A key as the database keeps it.
struct Kept {
    lookup: [u8; 32],
    sealed: Vec<u8>,
    digest: KeyDigest,
    /// The lookup key that `lookup` is made with.
    version: i32,
}

impl Kept {
    /// It can be told apart only by who has it.
    fn of(change: &Change<'_>, id: LicenseId, key: &LicenseKey) -> Result<Self, Error> {
        let keyring = &change.keyring;
        Ok(Self {
            lookup: keyring.lookup(key.canonical()),
            sealed: keyring.seal(place(id), key.canonical().as_bytes(), change.store.random())?,
            digest: KeyDigest::of(key),
            version: keyring.lookup_version().cast_signed(),
        })
    }
}

impl Change<'_> {
    /// Makes a license with a key of its own.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn insert_license(&self, terms: &NewLicense, key: &LicenseKey) -> Result<LicenseId, Error> {
        let id = LicenseId::from_uuid(self.store.new_id());
        let kept = Kept::of(self, id, key)?;
        execute(
            &*self.tx,
            &INSERT,
            &[
                id.as_uuid(),
                &terms.product.as_str(),
                &terms.customer,
                terms.profile_id.as_uuid(),
                &kept.lookup.as_slice(),
                &kept.sealed,
                &terms.max_installs,
                &Timestamp(terms.starts_at),
                &terms.expires_at.map(Timestamp),
                &terms.entitlements,
                &terms.lease_max_seconds,
                &terms.metadata,
                &self.now(),
                &kept.digest.as_bytes().as_slice(),
                &kept.version,
            ],
        )
        .await?;
        Ok(id)
    }

    /// A license, locked until the change's end.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn lock_license(&self, id: LicenseId) -> Result<Option<LicenseRow>, Error> {
        row(&*self.tx, &LOCK, &[id.as_uuid()]).await?.as_ref().map(license).transpose()
    }

    /// Changes a license's terms. Where it has fewer seats then, the newest installs are over them from now on; where it has
    /// more, those that have room are not any more.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn update_license(&self, before: &LicenseRow, terms: &NewLicense) -> Result<LicenseRow, Error> {
        execute(
            &*self.tx,
            &UPDATE,
            &[
                before.id.as_uuid(),
                &terms.customer,
                terms.profile_id.as_uuid(),
                &terms.max_installs,
                &Timestamp(terms.starts_at),
                &terms.expires_at.map(Timestamp),
                &terms.entitlements,
                &terms.lease_max_seconds,
                &terms.metadata,
                &self.now(),
            ],
        )
        .await?;
        let profile = row(&*self.tx, &PROFILE, &[terms.profile_id.as_uuid()]).await?;
        let profile = profile.ok_or_else(|| corrupt("profile")("it is gone"))?;
        let released = self.store.profile(&profile)?.knobs.release_silent_after;
        self.rank_anew(before.id, terms.max_installs, released).await?;
        self.load_license(before.id).await
    }

    /// Suspends a license.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn suspend_license(&self, id: LicenseId) -> Result<LicenseRow, Error> {
        self.change_license(&SUSPEND, id).await
    }

    /// Ends a license's suspension.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn resume_license(&self, id: LicenseId) -> Result<LicenseRow, Error> {
        self.change_license(&RESUME, id).await
    }

    /// Revokes a license.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn revoke_license(&self, id: LicenseId) -> Result<LicenseRow, Error> {
        self.change_license(&REVOKE, id).await
    }

    async fn change_license(&self, statement: &Sql, id: LicenseId) -> Result<LicenseRow, Error> {
        execute(&*self.tx, statement, &[id.as_uuid(), &self.now()]).await?;
        self.load_license(id).await
    }

    /// Gives a license another key.
    ///
    /// # Errors
    /// When the database isn't available or refuses.
    pub async fn rekey_license(&self, id: LicenseId, key: &LicenseKey) -> Result<LicenseRow, Error> {
        let kept = Kept::of(self, id, key)?;
        let params: [&(dyn ToSql + Sync); 6] = [
            id.as_uuid(),
            &kept.lookup.as_slice(),
            &kept.sealed,
            &kept.digest.as_bytes().as_slice(),
            &self.now(),
            &kept.version,
        ];
        execute(&*self.tx, &REKEY, &params).await?;
        self.load_license(id).await
    }

    /// Opens a license's key, in its canonical spelling.
    ///
    /// # Errors
    /// When it doesn't open.
    pub async fn open_license_key(&self, id: LicenseId) -> Result<LicenseKey, Error> {
        let found = row(&*self.tx, &KEY, &[id.as_uuid()]).await?;
        let found = found.ok_or_else(|| corrupt("license")("it is gone"))?;
        let sealed: &[u8] = column(&found, "key_sealed")?;
        let open = |keyring: &Keyring| Ok(keyring.open(place(id), sealed)?);
        let opened = self.store.opening(&*self.tx, open).await?;
        let canonical = std::str::from_utf8(&opened).map_err(corrupt("key_sealed"))?;
        let text = Zeroizing::new(format!("QT1-{canonical}"));
        LicenseKey::parse(&text).map_err(corrupt("key_sealed"))
    }

    async fn load_license(&self, id: LicenseId) -> Result<LicenseRow, Error> {
        let found = row(&*self.tx, &LOCK, &[id.as_uuid()]).await?.as_ref().map(license).transpose()?;
        found.ok_or_else(|| corrupt("license")("it is gone"))
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.store.clock().unix_seconds())
    }
}
