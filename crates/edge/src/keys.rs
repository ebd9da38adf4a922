//! The signing keys and the keyset that this process works with, read again twice a minute.
//!
//! Nothing runs in the background: whoever needs the keys and finds them old reads them, so that a function which was
//! frozen for an hour is right at its first request. Who reads them also does what is due with the time: rotates a key
//! that is old enough, signs a new keyset. Of many processes one does it, and whichever fails goes on with what it read.
//!
//! INVARIANT(overlap): nothing is signed with keys that were read more than `keyring::signing::READ_WITHIN` seconds ago.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use jose_jwt::SigningKey;
use keyring::signing::{KeyRecord, READ_WITHIN};
use store::{Error, KeyTerms, LiveKeys, PublishedKeyset, SigningKeys};

use crate::{Edge, Refusal, Settings, telemetry};

/// How often the same warning is logged, seconds.
const WARN_EVERY: i64 = 3600;

/// The keys as they were read.
pub struct Current {
    /// What signs tokens.
    pub token: SigningKey,
    /// What signs leases.
    pub lease: SigningKey,
    /// The newest keyset.
    pub keyset: PublishedKeyset,
    /// Every key that verifies now.
    pub records: Vec<KeyRecord>,
    /// What an operator has to see to.
    pub warning: Option<Warning>,
    read_at: i64,
}

/// What an operator has to see to, or agents will find no keys that they trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warning {
    /// A keyset has to be signed, or keys rotated, and the root's private half isn't in the database.
    RootAbsent,
    /// What is due fails; the log says why.
    Failed,
}

impl Warning {
    /// Its name, as `/readyz` tells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RootAbsent => "root_key_absent",
            Self::Failed => "keys_not_moved_on",
        }
    }
}

/// The newest keys read.
#[derive(Default)]
pub struct Keys {
    current: RwLock<Option<Arc<Current>>>,
    reading: tokio::sync::Mutex<()>,
    warned_at: AtomicI64,
}

/// After how many seconds keys are read again: twice in the time for which they may be used, and several times while a
/// new key is published and doesn't sign yet, so that no process hands out a keyset without a key that signs.
fn fresh(settings: &Settings) -> i64 {
    (settings.key_lead_seconds / 4).clamp(1, READ_WITHIN / 2)
}

impl Keys {
    fn newest(&self, now: i64, within: i64) -> Option<Arc<Current>> {
        let newest = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        newest.filter(|keys| (0..within).contains(&(now - keys.read_at)))
    }

    /// The keys that hold now.
    ///
    /// # Errors
    /// When they have to be read and can't be, and the ones read last may not sign any more.
    pub async fn current(&self, edge: &Edge) -> Result<Arc<Current>, Refusal> {
        let fresh = fresh(&edge.settings);
        if let Some(keys) = self.newest(edge.now(), fresh) {
            return Ok(keys);
        }
        let _reading = self.reading.lock().await;
        // Another request may have read them while this one waited.
        let now = edge.now();
        if let Some(keys) = self.newest(now, fresh) {
            return Ok(keys);
        }
        match self.read(edge, now).await {
            Ok(keys) => Ok(self.keep(keys)),
            // INVARIANT(overlap): what is kept was read within twice that time.
            Err(error) => match self.newest(now, 2 * fresh) {
                Some(keys) if error.is_transient() => Ok(keys),
                _ => Err(error.into()),
            },
        }
    }

    /// Begins with keys that were read when the process started.
    #[cfg(feature = "lambda")]
    pub(crate) async fn begin(&self, edge: &Edge, read: LiveKeys) {
        let now = read.read_at;
        if let Ok(keys) = self.tend(edge, read.into(), now).await {
            self.keep(keys);
        }
    }

    fn keep(&self, keys: Current) -> Arc<Current> {
        let keys = Arc::new(keys);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(keys.clone());
        keys
    }

    async fn read(&self, edge: &Edge, now: i64) -> Result<Current, Error> {
        self.tend(edge, edge.store.load_live_keys(now).await?.into(), now).await
    }

    /// Does what is due by keys that were read at `now`, and reads them again where that has changed them.
    async fn tend(&self, edge: &Edge, mut read: Current, now: i64) -> Result<Current, Error> {
        let terms = edge.settings.key_terms();
        if !terms.is_due(&read.records, &read.keyset, now) {
            return Ok(read);
        }
        if !read.keyset.has_root {
            read.warning = Some(Warning::RootAbsent);
            if self.is_time_to_warn(now) {
                warn_without_root(terms, &read.keyset, now);
            }
            return Ok(read);
        }
        match edge.store.tend_keys(terms).await {
            Ok(Some(keyset)) => {
                tracing::info!(version = keyset.version, "signed a new keyset");
                read = edge.store.load_live_keys(now).await?.into();
            }
            // Another process is at it, or was: what it did is looked for soon.
            Ok(None) => read.read_at = now - fresh(&edge.settings) + 1,
            Err(error) => {
                read.warning = Some(Warning::Failed);
                tracing::error!(
                    error = telemetry::told(&error),
                    "keys can't be moved on: the old ones go on"
                );
            }
        }
        Ok(read)
    }

    fn is_time_to_warn(&self, now: i64) -> bool {
        let is_time = now >= self.warned_at.load(Ordering::Relaxed).saturating_add(WARN_EVERY);
        if is_time {
            self.warned_at.store(now, Ordering::Relaxed);
        }
        is_time
    }
}

impl From<LiveKeys> for Current {
    fn from(LiveKeys { keyset, signing, read_at }: LiveKeys) -> Self {
        let SigningKeys { token, lease, records } = signing;
        Self { token, lease, keyset, records, warning: None, read_at }
    }
}

/// Says what there is to do where the root's private half was exported.
fn warn_without_root(terms: KeyTerms<'_>, keyset: &PublishedKeyset, now: i64) {
    let command = if keyset.is_due(terms.keysets.issuer, now) { "sign-keyset" } else { "rotate" };
    tracing::warn!(
        version = keyset.version,
        seconds_left = keyset.expires_at - now,
        "a new keyset is due, and the root key isn't in the database to sign it: \
         qubictether keys {command} --root-key FILE"
    );
}
