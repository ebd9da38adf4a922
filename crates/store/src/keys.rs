//! Keys in the database: made once.

use jose_jwt::{PublicKey, SigningKey};
use keyring::signing::KeyUse;
use keyring::{Context, KeyEncryption, Purpose, Wrapped};
use protocol::ambient::{Clock, Random};
use tokio_postgres::GenericClient;
use tokio_postgres::types::ToSql;
use zeroize::Zeroizing;

use crate::keys_open::reserve;
use crate::keys_signing::private_place;
use crate::sql::{Timestamp, column, execute, row, statements};
use crate::{Database, Error, KeysetTerms, keys_keyset, keys_root, keys_signing};

/// Whoever makes keys or signs keysets holds this advisory lock until the transaction's end. Who waits for it doesn't
/// wait for ever: the holder may have been stopped, and everybody else has keys to go on with.
pub(crate) const LOCK: &str = "SET LOCAL lock_timeout = '10s'; SELECT pg_advisory_xact_lock(7163127404523)";

statements! {
    /// Whether there are keys.
    ANY () "-- keys.any
SELECT EXISTS (SELECT FROM wrapped_keys) AS are_there"

    /// A new wrapped key.
    INSERT_WRAPPED (TEXT, INT4, BYTEA, TEXT, TIMESTAMPTZ) "-- keys.insert_wrapped
INSERT INTO wrapped_keys (purpose, version, wrapped, wrapped_by, created_at) VALUES ($1, $2, $3, $4, $5)"
}

/// What `init` made.
#[derive(Debug)]
pub struct NewKeys {
    /// The public half of the root key, which agents are shipped with.
    pub root: PublicKey,
}

impl Database {
    /// Makes the first keys: a data key, a lookup key, the root, and of each use a token or lease key that signs and
    /// one that is prepared; and signs the first keyset.
    ///
    /// # Errors
    /// [`Error::KeysExist`] when there are keys; else when the database or the provider isn't available.
    pub async fn init_keys(
        &self,
        provider: &dyn KeyEncryption,
        clock: &dyn Clock,
        random: &dyn Random,
        keysets: KeysetTerms<'_>,
    ) -> Result<NewKeys, Error> {
        let now = clock.unix_seconds();
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(Error::from_connection)?;
        tx.batch_execute(LOCK).await.map_err(Error::from_connection)?;
        if row(&*tx, &ANY, &[]).await?.map_or(Ok(false), |row| column(&row, "are_there"))? {
            return Err(Error::KeysExist);
        }
        let mut builder = keyring::Builder::default();
        for purpose in [Purpose::DataKey, Purpose::LookupKey] {
            let key = seed(random);
            let context = Context { purpose, version: 1 };
            insert_wrapped(&*tx, context, &provider.wrap(&context, &key).await?, now).await?;
            builder.insert(context, key, true);
        }
        let keyring = builder.build().ok_or(Error::NoKeys)?;
        reserve(&*tx, &keyring).await?;

        let new_id = || protocol::id::v7(clock.unix_millis(), protocol::ambient::array(random));
        let root = SigningKey::from_seed(&seed(random));
        let id = new_id();
        let sealed = keyring.seal(private_place("root_keys", id), &root.seed()[..], random)?;
        let public = root.public().clone();
        keys_root::insert(&*tx, id, &public, &sealed, now).await?;
        for key_use in [KeyUse::Token, KeyUse::Lease] {
            for sign_from in [Some(now), None] {
                let key = SigningKey::from_seed(&seed(random));
                let id = new_id();
                let sealed = keyring.seal(private_place("signing_keys", id), &key.seed()[..], random)?;
                keys_signing::insert(&*tx, id, key_use, key.public(), &sealed, now, sign_from).await?;
            }
        }
        keys_keyset::sign(&*tx, &root, keysets, now).await?;
        tx.commit().await.map_err(Error::from_connection)?;
        Ok(NewKeys { root: public })
    }
}

pub(crate) fn seed(random: &dyn Random) -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([0; 32]);
    random.fill(&mut *seed);
    seed
}

/// Keeps a wrapped key, which is active.
pub(crate) async fn insert_wrapped(
    client: &impl GenericClient,
    context: Context,
    wrapped: &Wrapped,
    now: i64,
) -> Result<(), Error> {
    let (purpose, version) = (context.purpose.as_str(), context.version.cast_signed());
    let params = [&purpose as &(dyn ToSql + Sync), &version, &wrapped.bytes, &wrapped.by, &Timestamp(now)];
    execute(client, &INSERT_WRAPPED, &params).await?;
    Ok(())
}
