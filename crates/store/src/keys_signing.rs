//! Signing keys as rows: their private halves sealed, and the instants of their lives.

use jose_jwt::{PublicKey, SigningKey};
use keyring::signing::{KeyRecord, KeyUse, signer};
use keyring::{Keyring, Place};
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::contact::corrupt;
use crate::sql::{Timestamp, column, execute, instant, instant_or_null, row, rows, statements};
use crate::{Error, Store};

statements! {
    /// A new signing key.
    INSERT (TEXT, UUID, TEXT, BYTEA, BYTEA, TIMESTAMPTZ, TIMESTAMPTZ) "-- keys_signing.insert
INSERT INTO signing_keys (kid, id, key_use, public_key, private_key, publish_at, sign_from)
VALUES ($1, $2, $3, $4, $5, $6, $7)"

    /// Other instants of a key's life.
    MOVE (TEXT, TIMESTAMPTZ, TIMESTAMPTZ, TIMESTAMPTZ, TIMESTAMPTZ) "-- keys_signing.move
UPDATE signing_keys SET sign_from = $2, sign_until = $3, verify_until = $4, tainted_at = $5 WHERE kid = $1"

    /// Every signing key that still does something: signs, will sign, or verifies.
    LIVE (TIMESTAMPTZ) "-- keys_signing.live
SELECT id, key_use, public_key, private_key, publish_at, sign_from, sign_until, verify_until, tainted_at
FROM signing_keys
WHERE tainted_at IS NULL AND (verify_until IS NULL OR verify_until > $1)
ORDER BY publish_at, kid"

    /// One, whatever it does.
    FIND (TEXT) "-- keys_signing.find
SELECT key_use, public_key, publish_at, sign_from, sign_until, verify_until, tainted_at
FROM signing_keys WHERE kid = $1"

    /// Every signing key that there ever was.
    ALL () "-- keys_signing.all
SELECT key_use, public_key, publish_at, sign_from, sign_until, verify_until, tainted_at
FROM signing_keys ORDER BY publish_at, kid"
}

/// The signing keys as they are at an instant.
#[derive(Debug)]
pub struct SigningKeys {
    /// Every key that verifies.
    pub records: Vec<KeyRecord>,
    /// What signs tokens.
    pub token: SigningKey,
    /// What signs leases.
    pub lease: SigningKey,
}

impl Store {
    /// The keys that verify at `now`, and of each use the one that signs, its private half open.
    ///
    /// # Errors
    /// [`Error::NoKeys`] when none signs; when the database isn't available, or a key doesn't open.
    pub async fn load_signing_keys(&self, now: i64) -> Result<SigningKeys, Error> {
        let client = self.client().await?;
        let found = rows(&**client, &LIVE, &[&Timestamp(now)]).await?;
        let records = found.iter().map(record).collect::<Result<Vec<_>, _>>()?;
        let open = |keyring: &Keyring, key_use| {
            let signs = signer(&records, key_use, now).ok_or(Error::NoKeys)?;
            let row = records.iter().position(|record| record == signs).and_then(|at| found.get(at));
            let row = row.ok_or(Error::NoKeys)?;
            let place = private_place("signing_keys", column(row, "id")?);
            open_private(keyring, place, column(row, "private_key")?)
        };
        let both = |keyring: &Keyring| Ok((open(keyring, KeyUse::Token)?, open(keyring, KeyUse::Lease)?));
        let (token, lease) = self.opening(&**client, both).await?;
        Ok(SigningKeys { records, token, lease })
    }

    /// Every signing key that there ever was, the oldest first.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_signing_keys(&self) -> Result<Vec<KeyRecord>, Error> {
        rows(&**self.client().await?, &ALL, &[]).await?.iter().map(record).collect()
    }
}

/// Where a private half stands, which its seal is bound to.
pub(crate) fn private_place(table: &'static str, id: Uuid) -> Place<'static> {
    Place { table, column: "private_key", row: *id.as_bytes() }
}

/// Keeps a new key.
pub(crate) async fn insert(
    client: &impl GenericClient,
    id: Uuid,
    key_use: KeyUse,
    public: &PublicKey,
    sealed: &[u8],
    publish_at: i64,
    sign_from: Option<i64>,
) -> Result<(), Error> {
    execute(
        client,
        &INSERT,
        &[
            &public.kid(),
            &id,
            &key_use.as_str(),
            &public.as_bytes().as_slice(),
            &sealed,
            &Timestamp(publish_at),
            &sign_from.map(Timestamp),
        ],
    )
    .await?;
    Ok(())
}

/// Keeps the instants of a key that is there.
pub(crate) async fn move_on(client: &impl GenericClient, record: &KeyRecord) -> Result<(), Error> {
    let at = |instant: Option<i64>| instant.map(Timestamp);
    let KeyRecord { sign_from, sign_until, verify_until, tainted_at, .. } = *record;
    let instants = [sign_from, sign_until, verify_until, tainted_at].map(at);
    let [sign_from, sign_until, verify_until, tainted_at] = &instants;
    execute(client, &MOVE, &[&record.kid(), sign_from, sign_until, verify_until, tainted_at]).await?;
    Ok(())
}

/// Every key that verifies at `now`.
pub(crate) async fn live_records(client: &impl GenericClient, now: i64) -> Result<Vec<KeyRecord>, Error> {
    rows(client, &LIVE, &[&Timestamp(now)]).await?.iter().map(record).collect()
}

/// A key, whatever it does.
pub(crate) async fn find_record(client: &impl GenericClient, kid: &str) -> Result<Option<KeyRecord>, Error> {
    row(client, &FIND, &[&kid]).await?.as_ref().map(record).transpose()
}

pub(crate) fn open_private(keyring: &Keyring, place: Place<'_>, sealed: &[u8]) -> Result<SigningKey, Error> {
    let seed = keyring.open(place, sealed)?;
    let seed: &[u8; 32] = seed.as_slice().try_into().map_err(corrupt("private_key"))?;
    Ok(SigningKey::from_seed(seed))
}

pub(crate) fn public_key(row: &Row) -> Result<PublicKey, Error> {
    let bytes: &[u8] = column(row, "public_key")?;
    PublicKey::from_bytes(bytes.try_into().map_err(corrupt("public_key"))?).map_err(corrupt("public_key"))
}

fn record(row: &Row) -> Result<KeyRecord, Error> {
    Ok(KeyRecord {
        key_use: column::<&str>(row, "key_use")?.parse().map_err(corrupt("key_use"))?,
        public: public_key(row)?,
        publish_at: instant(row, "publish_at")?,
        sign_from: instant_or_null(row, "sign_from")?,
        sign_until: instant_or_null(row, "sign_until")?,
        verify_until: instant_or_null(row, "verify_until")?,
        tainted_at: instant_or_null(row, "tainted_at")?,
    })
}
