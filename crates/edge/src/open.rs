//! A database and its keys, opened by the settings.

use std::sync::Arc;

use keyring::{KeyEncryption, KmsProvider, LocalProvider, RdsTokens};
use protocol::ambient::{Clock as _, OsRandom, SystemClock};
use store::{Database, LiveKeys, ReadKeys, Store};

use crate::Settings;
use crate::config::{DatabaseAuth, KeyProvider};

/// The pool of connections that the settings name, of so many at most. Nothing is connected yet.
///
/// # Errors
/// When the URL or what it names (a file of certificates) is wrong; by IAM also when AWS isn't set up.
pub async fn database(settings: &Settings, connections: usize) -> Result<Database, store::Error> {
    match settings.database_auth {
        DatabaseAuth::Password => Database::new(&settings.database_url, connections),
        DatabaseAuth::Iam => {
            let tokens = RdsTokens::new(Arc::new(SystemClock)).await?;
            Database::by_tokens(&settings.database_url, connections, tokens)
        }
    }
}

/// A database's keys, opened.
///
/// # Errors
/// When the database or what wraps its keys isn't available, or the keys don't open.
pub async fn store(database: Database, provider: Arc<dyn KeyEncryption>) -> Result<Store, store::Error> {
    Store::open(database, provider, Arc::new(SystemClock), Arc::new(OsRandom)).await
}

/// Reads what a process needs of the keys, in one round trip, to open it by [`over`].
///
/// # Errors
/// When the database isn't available.
pub async fn read(database: &Database) -> Result<ReadKeys, store::Error> {
    database.read_keys(SystemClock.unix_seconds()).await
}

/// A database's keys, opened as they were read; and those to work with first.
///
/// # Errors
/// When what wraps them isn't available, or they don't open.
pub async fn over(
    database: Database,
    read: ReadKeys,
    provider: Arc<dyn KeyEncryption>,
) -> Result<(Store, Result<LiveKeys, store::Error>), store::Error> {
    Store::over(database, read, provider, Arc::new(SystemClock), Arc::new(OsRandom)).await
}

/// What wraps the data keys.
///
/// # Errors
/// When the file of the key-encryption key can't be read, or isn't as it has to be; or when no region of AWS is set.
pub async fn provider(settings: &KeyProvider) -> Result<Arc<dyn KeyEncryption>, keyring::Error> {
    Ok(match settings {
        KeyProvider::Local { file } => Arc::new(LocalProvider::open(file, Arc::new(OsRandom))?),
        KeyProvider::Kms { key_id } => Arc::new(KmsProvider::new(key_id.clone()).await?),
    })
}
