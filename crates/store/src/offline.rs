//! The air gap: licenses by the digest of their key, and the requests that were answered.
//!
//! The blind index over license keys is keyed, so a machine that was never online can't compute it: its request names
//! the license by a plain digest, which stands beside it. Rows of a server that didn't know of digests have none; they
//! are filled before one is looked for.

use keyring::{Keyring, Place};
use protocol::offline::{KeyDigest, OfflineRequest};
use protocol::{LicenseId, LicenseKey};
use tokio_postgres::Row;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::activation::{Activation, LicenseToActivate};
use crate::contact::{corrupt, terms};
use crate::sql::{Timestamp, column, execute, row, rows, statements};
use crate::{Error, Store};

/// How many digests are filled at once.
const AT_ONCE: i64 = 500;

statements! {
    /// A license by its key's digest, locked: until the transaction's end nobody else activates under it.
    FIND_LICENSE (BYTEA) "-- offline.find_license
SELECT l.id, l.product, l.max_installs, l.starts_at, l.expires_at, l.lease_max_seconds, l.entitlements::text AS entitlements,
       l.suspended_at AS license_suspended_at, l.revoked_at AS license_revoked_at, l.key_sealed,
       v.profile_id, v.number AS profile_number, v.knobs::text AS knobs
FROM licenses l
JOIN profiles p ON p.id = l.profile_id
JOIN profile_versions v ON v.profile_id = p.id AND v.number = p.active_number
WHERE l.key_digest = $1
FOR UPDATE OF l"

    /// Remembers a request, if it isn't remembered yet.
    REMEMBER (UUID, BYTEA, TIMESTAMPTZ) "-- offline.remember
INSERT INTO offline_requests (license_id, nonce, valid_until) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"

    /// Forgets requests that are too old to be answered anyway.
    FORGET (TIMESTAMPTZ) "-- offline.forget
DELETE FROM offline_requests WHERE valid_until < $1"

    /// Licenses after one whose key's digest isn't there yet.
    WITHOUT_DIGEST (UUID, INT8) "-- offline.without_digest
SELECT id, key_sealed FROM licenses WHERE key_digest IS NULL AND id > $1 ORDER BY id LIMIT $2"

    /// Fills digests, but for keys that were changed meanwhile.
    FILL (UUID_ARRAY, BYTEA_ARRAY) "-- offline.fill
UPDATE licenses l SET key_digest = g.digest FROM unnest($1, $2) AS g(id, digest)
WHERE l.id = g.id AND l.key_digest IS NULL"
}

impl Activation<'_> {
    /// The license of a key's digest, locked, and its key.
    ///
    /// # Errors
    /// When the database isn't available, or the row can't be read.
    pub async fn find_license_of_digest(
        &self,
        digest: &KeyDigest,
    ) -> Result<Option<(LicenseToActivate, LicenseKey)>, Error> {
        let found = row(&*self.tx, &FIND_LICENSE, &[&digest.as_bytes().as_slice()]).await?;
        let Some(row) = found else { return Ok(None) };
        let id = LicenseId::from_uuid(column(&row, "id")?);
        let key = self.store.opening(&*self.tx, |keyring| open_license_key(keyring, &row)).await?;
        Ok(Some((LicenseToActivate { id, terms: terms(&row)?, profile: self.store.profile(&row)? }, key)))
    }

    /// Remembers a request until it is too old. Returns whether it was new.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn remember_request(
        &self,
        license: LicenseId,
        request: &OfflineRequest,
    ) -> Result<bool, Error> {
        let until = Timestamp(request.answered_until());
        let nonce = request.nonce.as_bytes();
        Ok(execute(&*self.tx, &REMEMBER, &[license.as_uuid(), &nonce, &until]).await? > 0)
    }
}

impl Store {
    /// Fills the digests that aren't there yet; where none is missing that is one look at an index. One that stops half-way
    /// goes on where it stopped. Returns how many were filled, and how many keys don't open, which stay without.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn fill_key_digests(&self) -> Result<(usize, usize), Error> {
        let (mut filled, mut closed, mut after) = (0, 0, Uuid::nil());
        loop {
            let client = self.client().await?;
            let found = rows(&**client, &WITHOUT_DIGEST, &[&after, &AT_ONCE]).await?;
            let Some(last) = found.last() else { return Ok((filled, closed)) };
            after = column(last, "id")?;
            let (mut ids, mut digests) = (Vec::new(), Vec::new());
            for row in &found {
                match self.opening(&**client, |keyring| open_license_key(keyring, row)).await {
                    Ok(key) => {
                        ids.push(column::<Uuid>(row, "id")?);
                        digests.push(KeyDigest::of(&key).as_bytes().to_vec());
                    }
                    Err(_) => closed += 1,
                }
            }
            filled += ids.len();
            execute(&**client, &FILL, &[&ids, &digests]).await?;
        }
    }

    /// Forgets requests that are too old to be answered. Returns how many.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn forget_offline_requests(&self) -> Result<u64, Error> {
        let now = Timestamp(self.clock().unix_seconds());
        execute(&**self.client().await?, &FORGET, &[&now]).await
    }
}

/// The license key in a row with `id` and `key_sealed`.
fn open_license_key(keyring: &Keyring, row: &Row) -> Result<LicenseKey, Error> {
    let id: Uuid = column(row, "id")?;
    let place = Place { table: "licenses", column: "key_sealed", row: *id.as_bytes() };
    let opened = keyring.open(place, column(row, "key_sealed")?)?;
    let canonical = str::from_utf8(&opened).map_err(corrupt("key_sealed"))?;
    LicenseKey::parse(&Zeroizing::new(format!("QT1-{canonical}"))).map_err(corrupt("key_sealed"))
}
