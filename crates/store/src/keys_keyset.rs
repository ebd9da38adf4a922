//! Keysets: every key that verifies, signed by the root.

use jose_jwt::SigningKey;
use keyring::signing::is_renewal_due;
use tokio_postgres::GenericClient;

use crate::sql::{Timestamp, column, execute, instant, instant_or_null, row, statements};
use crate::{Error, Store, keys_signing};

statements! {
    /// The newest keyset; whether a key that it lists has retired since; when the database was restored since, from a backup
    /// that may know of fewer keysets than agents do; whether the root is there to sign the next.
    NEWEST (TIMESTAMPTZ) "-- keys_keyset.newest
SELECT k.version, k.jws, k.issuer, k.issued_at, k.expires_at,
       EXISTS (SELECT FROM signing_keys s
               WHERE s.tainted_at IS NULL AND s.verify_until > k.issued_at AND s.verify_until <= $1) AS is_outdated,
       (SELECT max(b.restored_at) FROM restores b WHERE b.restored_at > k.issued_at) AS restored_at,
       EXISTS (SELECT FROM root_keys r WHERE r.replaced_at IS NULL AND r.private_key IS NOT NULL) AS has_root
FROM keysets k ORDER BY k.version DESC LIMIT 1"

    /// A new keyset.
    INSERT (INT8, TEXT, TEXT, TIMESTAMPTZ, TIMESTAMPTZ) "-- keys_keyset.insert
INSERT INTO keysets (version, jws, issuer, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)"
}

/// The newest keyset, as it is handed to agents.
#[derive(Debug, Clone)]
pub struct PublishedKeyset {
    /// Its version.
    pub version: i64,
    /// The compact JWS.
    pub jws: String,
    /// The public URL that it was signed for.
    pub issuer: String,
    /// When it was signed.
    pub issued_at: i64,
    /// When it ends.
    pub expires_at: i64,
    /// Whether the root's private half is in the database, to sign the next one.
    pub has_root: bool,
    /// Whether a key that it lists has retired.
    is_outdated: bool,
    /// When the database was restored from a backup since it was signed.
    restored_at: Option<i64>,
}

impl PublishedKeyset {
    /// Whether a new one has to be signed: a third of its life is gone, a key that it lists has retired, the server's
    /// public URL is another, or the database was restored since.
    #[must_use]
    pub fn is_due(&self, issuer: &str, now: i64) -> bool {
        self.issuer != issuer
            || self.is_outdated
            || self.restored_at.is_some()
            || is_renewal_due(self.issued_at, self.expires_at, now)
    }

    /// The version of the keyset that follows. After a restore it is the time of that: above whatever was published since
    /// the backup, for agents take no version below one that they have seen.
    fn next_version(&self) -> i64 {
        (self.version + 1).max(self.restored_at.unwrap_or(0))
    }
}

/// How keysets are signed.
#[derive(Debug, Clone, Copy)]
pub struct KeysetTerms<'a> {
    /// The server's public URL.
    pub issuer: &'a str,
    /// How long a keyset lives, seconds.
    pub life: i64,
}

impl Store {
    /// The newest keyset.
    ///
    /// # Errors
    /// [`Error::NoKeys`] when there is none; or when the database isn't available.
    pub async fn load_keyset(&self) -> Result<PublishedKeyset, Error> {
        let now = self.clock().unix_seconds();
        find_newest(&**self.client().await?, now).await?.ok_or(Error::NoKeys)
    }
}

/// The newest keyset, if there is one.
pub(crate) async fn find_newest(
    client: &impl GenericClient,
    now: i64,
) -> Result<Option<PublishedKeyset>, Error> {
    let Some(row) = row(client, &NEWEST, &[&Timestamp(now)]).await? else { return Ok(None) };
    Ok(Some(PublishedKeyset {
        version: column(&row, "version")?,
        jws: column(&row, "jws")?,
        issuer: column(&row, "issuer")?,
        issued_at: instant(&row, "issued_at")?,
        expires_at: instant(&row, "expires_at")?,
        has_root: column(&row, "has_root")?,
        is_outdated: column(&row, "is_outdated")?,
        restored_at: instant_or_null(&row, "restored_at")?,
    }))
}

/// Signs and stores the next keyset: every key that verifies now. The caller holds the lock.
pub(crate) async fn sign(
    client: &impl GenericClient,
    root: &SigningKey,
    terms: KeysetTerms<'_>,
    now: i64,
) -> Result<PublishedKeyset, Error> {
    let version = find_newest(client, now).await?.map_or(1, |newest| newest.next_version());
    let records = keys_signing::live_records(client, now).await?;
    let expires_at = now + terms.life;
    let claims = keyring::signing::keyset(&records, terms.issuer, version.cast_unsigned(), now, expires_at);
    let jws = protocol::keyset::sign(&claims, root);
    execute(client, &INSERT, &[&version, &jws, &terms.issuer, &Timestamp(now), &Timestamp(expires_at)])
        .await?;
    find_newest(client, now).await?.ok_or(Error::NoKeys)
}
