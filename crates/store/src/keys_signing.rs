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

    /// Every signing key that still does something: signs, will sign, or verifies. In no order: a session that has just
    /// begun knows nothing yet of how to sort.
    LIVE (TIMESTAMPTZ) "-- keys_signing.live
SELECT id, key_use, public_key, private_key, publish_at, sign_from, sign_until, verify_until, tainted_at
FROM signing_keys
WHERE tainted_at IS NULL AND (verify_until IS NULL OR verify_until > $1)"

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

/// The same before the private halves are open.
pub(crate) struct SealedSigningKeys {
    records: Vec<KeyRecord>,
    rows: Vec<Row>,
    now: i64,
}

impl SealedSigningKeys {
    pub(crate) async fn read(client: &impl GenericClient, now: i64) -> Result<Self, Error> {
        let (records, rows) = live(client, now).await?.into_iter().unzip();
        Ok(Self { records, rows, now })
    }

    /// Opens the private halves of those that sign.
    ///
    /// # Errors
    /// [`Error::NoKeys`] when none signs; or when a key doesn't open.
    pub(crate) fn open(&self, keyring: &Keyring) -> Result<SigningKeys, Error> {
        let open = |key_use| {
            let signs = signer(&self.records, key_use, self.now).ok_or(Error::NoKeys)?;
            let row = self.records.iter().position(|record| record == signs).and_then(|at| self.rows.get(at));
            let row = row.ok_or(Error::NoKeys)?;
            let place = private_place("signing_keys", column(row, "id")?);
            open_private(keyring, place, column(row, "private_key")?)
        };
        let (token, lease) = (open(KeyUse::Token)?, open(KeyUse::Lease)?);
        Ok(SigningKeys { records: self.records.clone(), token, lease })
    }
}

impl Store {
    /// The keys that verify at `now`, and of each use the one that signs, its private half open.
    ///
    /// # Errors
    /// [`Error::NoKeys`] when none signs; when the database isn't available, or a key doesn't open.
    pub async fn load_signing_keys(&self, now: i64) -> Result<SigningKeys, Error> {
        let client = self.client().await?;
        let sealed = SealedSigningKeys::read(&**client, now).await?;
        self.opening(&**client, |keyring| sealed.open(keyring)).await
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
    Ok(live(client, now).await?.into_iter().map(|(record, _)| record).collect())
}

/// Every key that verifies at `now`, the oldest first.
async fn live(client: &impl GenericClient, now: i64) -> Result<Vec<(KeyRecord, Row)>, Error> {
    let found = rows(client, &LIVE, &[&Timestamp(now)]).await?;
    let with_record = |row| Ok::<_, Error>((record(&row)?, row));
    let mut live = found.into_iter().map(with_record).collect::<Result<Vec<_>, _>>()?;
    live.sort_by(|(one, _), (other, _)| (one.publish_at, one.kid()).cmp(&(other.publish_at, other.kid())));
    Ok(live)
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
