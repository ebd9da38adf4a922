//! PostgreSQL: the only place with SQL, one file an aggregate.
//!
//! A [`Database`] is a pool of connections; it migrates, and makes the first keys. A [`Store`] is a database whose keys
//! are open: it reads and writes everything else. Time and randomness come in from whoever opens it; SQL asks neither.

mod activation;
mod api_keys;
mod audit;
mod change;
mod connect;
mod contact;
mod dry_run;
mod error;
mod event;
#[cfg(feature = "testing")]
pub mod fleet;
mod heartbeat;
mod heartbeat_counts;
mod heartbeat_log;
mod hold;
mod iam;
mod idempotency;
mod import;
mod install;
mod install_list;
mod keys;
mod keys_change;
mod keys_check;
mod keys_keyset;
mod keys_live;
mod keys_open;
mod keys_rewrap;
mod keys_root;
mod keys_sealed;
mod keys_signing;
mod keys_wrapped;
mod lease;
mod leases;
mod license;
mod license_change;
mod license_end;
mod migrate;
mod offline;
mod overview;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod plans;
mod profile;
mod rates;
mod restate;
mod restore;
mod round;
mod seats;
mod sessions;
mod sign_in;
mod sql;
mod subject;
mod surroundings;
#[cfg(feature = "testing")]
pub mod testing;
mod users;
mod webhook;
mod webhook_delivery;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use deadpool_postgres::{Object, Pool};
use keyring::{KeyEncryption, RdsTokens};
use protocol::ProfileId;
use protocol::ambient::{Clock, Random};

pub use activation::{Activated, Activation, Candidate, Connection, LicenseToActivate, Machine};
pub use api_keys::ApiKeyRow;
pub use audit::{Actor, AuditFilter, AuditLogRow, Chain, Changed, Recording};
pub use change::Change;
pub use dry_run::Standing;
pub use error::Error;
pub use heartbeat_counts::{HourRow, RuleRow};
pub use heartbeat_log::{HeartbeatFilter, HeartbeatRow};
pub use hold::HoldRow;
pub use idempotency::{Claim, Once};
pub use import::KnownMachine;
pub use install::{InstallAction, InstallRow};
pub use install_list::{InstallFilter, Part};
pub use keys::NewKeys;
pub use keys_change::KeyTerms;
pub use keys_check::ColumnCheck;
pub use keys_keyset::{KeysetTerms, PublishedKeyset};
pub use keys_live::{LiveKeys, ReadKeys};
pub use keys_rewrap::Rewrapped;
pub use keys_root::RootRow;
pub use keys_sealed::{Brought, Progress};
pub use keys_signing::SigningKeys;
pub use keys_wrapped::{Rotation, WrappedKeyRow};
pub use lease::{LiveLease, LockedLicense};
pub use leases::{LeaseFilter, LeaseRow};
pub use license::{LicenseFilter, LicenseRow, NewLicense};
pub use overview::{FallingRow, are_many};
pub use profile::{ProfileRow, ProfileVersionRow, is_among};
pub use seats::Seat;
pub use sessions::{LIFE as SESSION_LIFE, SessionRow};
pub use sign_in::Attempt;
pub use subject::{Audit, Contact, LicenseTerms, Outcome, PublishedProfile, Subject};
pub use surroundings::Surroundings;
pub use users::UserRow;
pub use webhook::WebhookRow;
pub use webhook_delivery::{Attempted, DeliveryRow, TakenDelivery};
pub use words::Words;

/// How many callers may wait for each connection of the pool.
const WAITING: usize = 16;

/// A pool of connections to one database.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
}

impl Database {
    /// Makes the pool; connects when the first connection is wanted.
    ///
    /// # Errors
    /// When the URL or what it names (a file of certificates) is wrong.
    pub fn new(url: &str, connections: usize) -> Result<Self, Error> {
        Ok(Self { pool: connect::pool(url, connections, None)? })
    }

    /// The same for a database that lets its users in by IAM.
    ///
    /// # Errors
    /// As [`new`](Self::new); and when the URL has a password, or turns TLS off.
    pub fn by_tokens(url: &str, connections: usize, tokens: RdsTokens) -> Result<Self, Error> {
        Ok(Self { pool: connect::pool(url, connections, Some(tokens))? })
    }

    /// One connection that answers, given back to the pool when it is dropped.
    ///
    /// One that was idle may have died unseen, above all in a process that was frozen meanwhile: it is asked, which is
    /// a round trip. When it doesn't answer the others won't either, and a new one is made.
    ///
    /// Who would wait for long is refused at once. Heartbeats, whose queue is their own, have [`Self::unasked_client`], and
    /// never wait behind more than that.
    pub(crate) async fn client(&self) -> Result<Object, Error> {
        let pool = self.pool.status();
        if pool.waiting >= pool.max_size * WAITING {
            return Err(Error::Overloaded);
        }
        loop {
            let client = self.unasked_client().await?;
            if Object::metrics(&client).recycle_count == 0 || connect::answers(&client).await {
                return Ok(client);
            }
            drop(Object::take(client));
            self.pool.retain(|_, _| false);
        }
    }

    /// One connection that may have died unseen: for who can bear that.
    pub(crate) async fn unasked_client(&self) -> Result<Object, Error> {
        self.pool.get().await.map_err(connect::refusal)
    }

    /// Ends the pool's connections.
    pub fn close(&self) {
        self.pool.close();
    }

    /// Asks the database for an answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ping(&self) -> Result<(), Error> {
        self.client().await.map(drop)
    }
}

/// A database whose keys are open.
pub struct Store {
    database: Database,
    provider: Arc<dyn KeyEncryption>,
    keys: RwLock<keys_open::OpenKeys>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Published versions never change, so what was parsed once serves for ever.
    profiles: RwLock<HashMap<(ProfileId, i32), Arc<PublishedProfile>>>,
}

impl Store {
    /// Opens the database's keys with `provider`.
    ///
    /// # Errors
    /// When the database has no keys yet ([`Error::NoKeys`]), or they don't open.
    pub async fn open(
        database: Database,
        provider: Arc<dyn KeyEncryption>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, Error> {
        let now = clock.unix_seconds();
        let keys = keys_open::OpenKeys::read(&**database.client().await?, &*provider, now).await?;
        let keys = RwLock::new(keys);
        Ok(Self { database, provider, keys, clock, random, profiles: RwLock::default() })
    }

    /// The pool below.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The clock that row times are bound from.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The source of ids, nonces and secrets.
    pub fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// A fresh `UUIDv7`.
    pub fn new_id(&self) -> uuid::Uuid {
        let mut random = [0; 10];
        self.random.fill(&mut random);
        protocol::id::v7(self.clock.unix_millis(), random)
    }

    async fn client(&self) -> Result<Object, Error> {
        self.database.client().await
    }
}
