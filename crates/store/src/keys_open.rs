//! The open keys of a process: unwrapped at its start, and again where others have changed them.
//!
//! Who seals or indexes does it under the active keys, which it has read within [`READ_WITHIN`] seconds. Who opens a value
//! of a version that it doesn't know reads the keys once more: another process may have made it just now. So a key that
//! was replaced may be retired when all of that time is over and nothing is left under it.

use std::sync::{Arc, PoisonError};

use futures_util::future::join_all;
use keyring::signing::READ_WITHIN;
use keyring::{Builder, Context, KeyEncryption, Keyring, Purpose};
use tokio_postgres::{GenericClient, Row};

use crate::contact::corrupt;
use crate::sql::{column, instant_or_null, row, rows, statements};
use crate::{Error, Store};

/// How many seals a process reserves at once. What it doesn't use is lost, which 2^31 can bear.
const SEALS_AT_ONCE: i64 = 1024;

/// New ones are reserved before the last are taken: requests that run side by side draw on the same allowance.
const SEALS_LEFT: i64 = 256;

/// After how many seconds who seals reads again which keys are active.
const FRESH: i64 = READ_WITHIN / 2;

statements! {
    /// The data and lookup keys, in no order: a session that has just begun knows nothing yet of how to sort.
    WRAPPED () "-- keys_open.wrapped
SELECT purpose, version, wrapped, replaced_at, retired_at, destroyed_at FROM wrapped_keys"

    /// The lookup key that is active, wrapped.
    WRAPPED_LOOKUP () "-- keys_open.wrapped_lookup
SELECT version, wrapped FROM wrapped_keys WHERE purpose = 'lookup-key' AND replaced_at IS NULL"

    /// The lookup keys that something may be indexed under.
    LOOKUP_VERSIONS () "-- keys_open.lookup_versions
SELECT version FROM wrapped_keys WHERE purpose = 'lookup-key' AND retired_at IS NULL ORDER BY version"

    /// Reserves seals under a data key, as long as its bound allows.
    RESERVE (INT4, INT8) "-- keys_open.reserve_seals
UPDATE wrapped_keys SET seals_reserved = seals_reserved + $2
WHERE purpose = 'data-key' AND version = $1 AND seals_reserved + $2 <= 2147483648
RETURNING version"
}

/// A process's keyring, and when it was read last which keys there are.
pub(crate) struct OpenKeys {
    keyring: Arc<Keyring>,
    read_at: i64,
}

impl OpenKeys {
    /// Unwraps what a process needs.
    pub(crate) async fn read(
        client: &impl GenericClient,
        provider: &dyn KeyEncryption,
        now: i64,
    ) -> Result<Self, Error> {
        Self::unwrap(&wrapped(client).await?, provider, now).await
    }

    /// The same of rows that were read at `now`.
    pub(crate) async fn unwrap(rows: &[Row], provider: &dyn KeyEncryption, now: i64) -> Result<Self, Error> {
        let builder = collect(rows, provider, None, None).await?;
        Ok(Self { keyring: Arc::new(builder.build().ok_or(Error::NoKeys)?), read_at: now })
    }
}

/// The rows of all data and lookup keys.
pub(crate) async fn wrapped(client: &impl GenericClient) -> Result<Vec<Row>, Error> {
    rows(client, &WRAPPED, &[]).await
}

/// Sees which keys there are, and unwraps those that `before` doesn't have. A retired data key is of use to nobody,
/// unless something old comes back from somewhere: it is unwrapped where it is `wanted`.
async fn collect(
    rows: &[Row],
    provider: &dyn KeyEncryption,
    before: Option<&Keyring>,
    wanted: Option<u32>,
) -> Result<Builder, Error> {
    let mut builder = Builder::default();
    let mut needed = Vec::new();
    for row in rows {
        let context = context(row)?;
        let is_there = |name| Ok::<_, Error>(instant_or_null(row, name)?.is_some());
        let is_data_key = context.purpose == Purpose::DataKey;
        if is_there("destroyed_at")? {
            if is_data_key {
                builder.note_destroyed(context.version);
            }
            continue;
        }
        let (is_active, is_retired) = (!is_there("replaced_at")?, is_there("retired_at")?);
        if is_retired && !is_data_key {
            continue;
        }
        let is_known = before.is_some_and(|keyring| builder.take_over(keyring, context, is_active));
        if !is_known && (!is_retired || wanted == Some(context.version)) {
            needed.push((context, is_active, column::<&[u8]>(row, "wrapped")?));
        }
    }
    // In an order of their own, so that of several that don't unwrap it is always the same one that is named.
    needed.sort_by_key(|(context, ..)| *context);
    // Together: each may be a call over the network.
    let unwrapping = needed.iter().map(|(context, _, wrapped)| provider.unwrap(context, wrapped));
    for (key, (context, is_active, _)) in join_all(unwrapping).await.into_iter().zip(&needed) {
        builder.insert(*context, key?, *is_active);
    }
    Ok(builder)
}

/// What the key of a row is for.
pub(crate) fn context(row: &Row) -> Result<Context, Error> {
    let purpose: Purpose = column::<&str>(row, "purpose")?.parse().map_err(corrupt("purpose"))?;
    let version: i32 = column(row, "version")?;
    Ok(Context { purpose, version: version.unsigned_abs() })
}

/// Reserves some more seals under the keyring's active data key.
pub(crate) async fn reserve(client: &impl GenericClient, keyring: &Keyring) -> Result<(), Error> {
    let version = keyring.active_version().cast_signed();
    if row(client, &RESERVE, &[&version, &SEALS_AT_ONCE]).await?.is_some() {
        keyring.grant(SEALS_AT_ONCE);
    }
    Ok(())
}

impl Store {
    /// The keyring as it was read last: to open with. To seal with there is [`sealing`](Self::sealing).
    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).keyring.clone()
    }

    /// For how many seconds it is known which keys are active.
    fn keys_age(&self) -> i64 {
        self.clock().unix_seconds() - self.keys.read().unwrap_or_else(PoisonError::into_inner).read_at
    }

    /// Reads again which keys there are.
    pub(crate) async fn refresh_keys(
        &self,
        client: &impl GenericClient,
        wanted: Option<u32>,
    ) -> Result<(), Error> {
        let (now, before) = (self.clock().unix_seconds(), self.keyring());
        let builder = collect(&wrapped(client).await?, &*self.provider, Some(&before), wanted).await?;
        let keyring = builder.build_after(&before).ok_or(Error::NoKeys)?;
        if keyring.active_version() != before.active_version() {
            // Before it takes the other's place: whoever was promised seals finds them.
            reserve(client, &keyring).await?;
            tracing::info!(version = keyring.active_version(), "seals under a new data key");
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) =
            OpenKeys { keyring: Arc::new(keyring), read_at: now };
        Ok(())
    }

    /// Opens something, and once more with keys that are read anew where one was not known.
    pub(crate) async fn opening<T>(
        &self,
        client: &impl GenericClient,
        open: impl Fn(&Keyring) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let opened = open(&self.keyring());
        let Err(Error::Keyring(keyring::Error::UnknownVersion(version))) = opened else { return opened };
        self.refresh_keys(client, Some(version)).await?;
        open(&self.keyring())
    }

    /// The keyring to seal `count` values with, or to index with: its active keys are the site's, and this process may
    /// seal so many.
    pub(crate) async fn sealing(
        &self,
        client: &impl GenericClient,
        count: usize,
    ) -> Result<Arc<Keyring>, Error> {
        if !(0..FRESH).contains(&self.keys_age())
            && let Err(error) = self.refresh_keys(client, None).await
            && !(error.is_transient() && (0..READ_WITHIN).contains(&self.keys_age()))
        {
            return Err(error);
        }
        let keyring = self.keyring();
        let wanted = i64::try_from(count).unwrap_or(i64::MAX);
        if wanted > 0 && keyring.allowance() < wanted.saturating_add(SEALS_LEFT) {
            reserve(client, &keyring).await?;
        }
        Ok(keyring)
    }

    /// Whether this process looks license keys up under every lookup key that one may be indexed under. Asked *after* a
    /// license wasn't found, so that one that was indexed anew just before is found the next time.
    pub(crate) async fn knows_lookup_keys(
        &self,
        client: &impl GenericClient,
        keyring: &Keyring,
    ) -> Result<bool, Error> {
        let found = rows(client, &LOOKUP_VERSIONS, &[]).await?;
        let versions: Vec<i32> = found.iter().map(|row| column(row, "version")).collect::<Result<_, _>>()?;
        let known: Vec<i32> = keyring.lookup_versions().map(u32::cast_signed).collect();
        Ok(versions.iter().all(|version| known.contains(version)))
    }

    /// Unwraps the lookup key once more, as every process does that starts: whether one would get its keys now.
    ///
    /// # Errors
    /// When the key-encryption key doesn't unwrap it, or the database isn't available.
    pub async fn rehearse_unwrap(&self) -> Result<(), Error> {
        let row = row(&**self.client().await?, &WRAPPED_LOOKUP, &[]).await?.ok_or(Error::NoKeys)?;
        let version: i32 = column(&row, "version")?;
        let context = Context { purpose: Purpose::LookupKey, version: version.unsigned_abs() };
        self.provider.unwrap(&context, column(&row, "wrapped")?).await?;
        Ok(())
    }
}
