//! The keys that a process works with, read together: a round trip for all of them.

use std::sync::{Arc, RwLock};

use futures_util::future::{join, try_join};
use keyring::{KeyEncryption, Keyring};
use protocol::ambient::{Clock, Random};
use tokio_postgres::{GenericClient, Row};

use crate::keys_open::{self, OpenKeys};
use crate::keys_signing::SealedSigningKeys;
use crate::{Database, Error, PublishedKeyset, SigningKeys, Store, keys_keyset};

/// What signs, what verifies, and the newest keyset, as they are at an instant.
#[derive(Debug)]
pub struct LiveKeys {
    /// The newest keyset.
    pub keyset: PublishedKeyset,
    /// The signing keys.
    pub signing: SigningKeys,
    /// When they were read.
    pub read_at: i64,
}

/// The same before the keys are open.
struct Sealed {
    keyset: PublishedKeyset,
    signing: SealedSigningKeys,
}

/// Everything that a process reads of its keys when it starts. None is open yet.
pub struct ReadKeys {
    wrapped: Vec<Row>,
    live: Result<Sealed, Error>,
    read_at: i64,
}

impl Database {
    /// Reads the keys, to open them by [`Store::over`].
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn read_keys(&self, now: i64) -> Result<ReadKeys, Error> {
        let client = self.client().await?;
        // One connection answers in order, so they are sent together and don't wait for each other.
        let (wrapped, live) = join(keys_open::wrapped(&**client), read(&**client, now)).await;
        Ok(ReadKeys { wrapped: wrapped?, live, read_at: now })
    }
}

impl Store {
    /// Opens a database's keys that were read before, with `provider`; and with them those that it works with first, whose
    /// failure is told where they are needed.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn over(
        database: Database,
        read: ReadKeys,
        provider: Arc<dyn KeyEncryption>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<(Self, Result<LiveKeys, Error>), Error> {
        let ReadKeys { wrapped, live, read_at } = read;
        let keys = OpenKeys::unwrap(&wrapped, &*provider, read_at).await?;
        let store =
            Self { database, provider, keys: RwLock::new(keys), clock, random, profiles: RwLock::default() };
        let live = live.and_then(|live| live.open(&store.keyring(), read_at));
        Ok((store, live))
    }

    /// The newest keyset, the keys that verify at `now`, and of each use the one that signs.
    ///
    /// # Errors
    /// As [`load_keyset`](Self::load_keyset) and [`load_signing_keys`](Self::load_signing_keys).
    pub async fn load_live_keys(&self, now: i64) -> Result<LiveKeys, Error> {
        let client = self.client().await?;
        let live = read(&**client, now).await?;
        self.opening(&**client, |keyring| live.open(keyring, now)).await
    }
}

/// The keyset is read before the keys: what signs was in it, or is in one that comes after it.
async fn read(client: &impl GenericClient, now: i64) -> Result<Sealed, Error> {
    let (keyset, signing) =
        try_join(keys_keyset::find_newest(client, now), SealedSigningKeys::read(client, now)).await?;
    Ok(Sealed { keyset: keyset.ok_or(Error::NoKeys)?, signing })
}

impl Sealed {
    fn open(&self, keyring: &Keyring, read_at: i64) -> Result<LiveKeys, Error> {
        Ok(LiveKeys { keyset: self.keyset.clone(), signing: self.signing.open(keyring)?, read_at })
    }
}
