use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use protocol::ambient::Random;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    Context, Error, Purpose,
    cipher::{Cipher, OVERHEAD, associated_data},
};

/// Where a sealed value stands. It opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The bytes of the row's UUID.
    pub row: [u8; 16],
}

impl Place<'_> {
    fn associated_data(&self) -> Vec<u8> {
        associated_data([self.table.as_bytes(), self.column.as_bytes(), &self.row])
    }
}

/// The unwrapped data keys and lookup keys, one active of each. What was sealed under a data key that isn't active opens;
/// what was indexed under a lookup key that isn't active is found. A keyring doesn't change: when keys do, another takes
/// its place.
///
/// A sealed value is `version(4, big-endian) ‖ nonce(12) ‖ ciphertext ‖ tag(16)`, AES-256-GCM under the data key of that
/// version; table, column and row id are authenticated with it.
///
/// INVARIANT(seals): a data key seals at most 2^31 values, whatever number of processes do it, so that random nonces
/// don't meet (NIST SP 800-38D section 8.3 allows 2^32). Each process seals only what it has reserved before in the
/// database and was [granted](Self::grant) here.
pub struct Keyring {
    data_keys: BTreeMap<u32, Arc<Cipher>>,
    /// One of them.
    active: u32,
    /// Data keys that there are no more.
    destroyed: BTreeSet<u32>,
    lookup_keys: BTreeMap<u32, Arc<Zeroizing<[u8; 32]>>>,
    /// One of them.
    active_lookup: u32,
    /// Shared with the keyrings before and after that have the same active data key.
    allowance: Arc<AtomicI64>,
}

impl Keyring {
    /// Seals a value under the active data key; [`Error::AllowanceSpent`] when nothing is left of what was granted.
    pub fn seal(&self, place: Place<'_>, plaintext: &[u8], random: &dyn Random) -> Result<Vec<u8>, Error> {
        // INVARIANT(seals): the count goes down before anything is sealed.
        self.allowance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| (left > 0).then(|| left - 1))
            .map_err(|_| Error::AllowanceSpent)?;
        let mut sealed = Vec::with_capacity(size_of::<u32>() + plaintext.len() + OVERHEAD);
        sealed.extend(self.active.to_be_bytes());
        self.data_keys[&self.active].seal_onto(&mut sealed, &place.associated_data(), plaintext, random);
        Ok(sealed)
    }

    /// Opens what was sealed for this place under any of the data keys. [`Error::UnknownVersion`]: it may be under one
    /// that was made since this keyring.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (version, sealed) = split_version(sealed)?;
        let Some(data_key) = self.data_keys.get(&version) else {
            let destroyed = self.destroyed.contains(&version);
            return Err(if destroyed {
                Error::DestroyedVersion(version)
            } else {
                Error::UnknownVersion(version)
            });
        };
        data_key.open(&place.associated_data(), sealed).ok_or(Error::Open)
    }

    /// Under which data key a value is sealed.
    pub fn version_of(sealed: &[u8]) -> Result<u32, Error> {
        split_version(sealed).map(|(version, _)| version)
    }

    /// The data key that seals.
    #[must_use]
    pub fn active_version(&self) -> u32 {
        self.active
    }

    /// How many more values may be sealed before more has to be granted.
    #[must_use]
    pub fn allowance(&self) -> i64 {
        self.allowance.load(Ordering::Relaxed)
    }

    /// Allows `seals` more values, which were reserved in the database for the active data key.
    pub fn grant(&self, seals: i64) {
        self.allowance.fetch_add(seals, Ordering::Relaxed);
    }

    /// The blind index of a license key in its canonical spelling (30 characters): HMAC-SHA-256 under the active lookup
    /// key.
    #[must_use]
    pub fn lookup(&self, canonical: &str) -> [u8; 32] {
        hmac_sha256(&self.lookup_keys[&self.active_lookup], canonical.as_bytes())
    }

    /// The lookup key that new license keys are indexed under.
    #[must_use]
    pub fn lookup_version(&self) -> u32 {
        self.active_lookup
    }

    /// The blind indices of a license key under every lookup key: by one of them it is found.
    #[must_use]
    pub fn lookups(&self, canonical: &str) -> Vec<[u8; 32]> {
        self.lookup_keys.values().map(|key| hmac_sha256(key, canonical.as_bytes())).collect()
    }

    /// Every lookup key's version, the lowest first.
    pub fn lookup_versions(&self) -> impl Iterator<Item = u32> {
        self.lookup_keys.keys().copied()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("versions", &self.data_keys.keys())
            .field("active", &self.active)
            .field("lookup_versions", &self.lookup_keys.keys())
            .field("allowance", &self.allowance())
            .finish_non_exhaustive()
    }
}

fn split_version(sealed: &[u8]) -> Result<(u32, &[u8]), Error> {
    let (version, rest) = sealed.split_first_chunk().ok_or(Error::NotSealed)?;
    if rest.len() < OVERHEAD { Err(Error::NotSealed) } else { Ok((u32::from_be_bytes(*version), rest)) }
}

pub(crate) fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.chain_update(message).finalize().into_bytes().into()
}

/// Puts a keyring together from unwrapped keys.
#[derive(Default)]
pub struct Builder {
    data_keys: BTreeMap<u32, Arc<Cipher>>,
    active: Option<u32>,
    destroyed: BTreeSet<u32>,
    lookup_keys: BTreeMap<u32, Arc<Zeroizing<[u8; 32]>>>,
    active_lookup: Option<u32>,
}

impl Builder {
    /// Adds a key. Of each purpose one is active.
    pub fn insert(&mut self, context: Context, key: Zeroizing<[u8; 32]>, active: bool) {
        let Context { purpose, version } = context;
        match purpose {
            Purpose::DataKey => {
                self.data_keys.insert(version, Arc::new(Cipher::new(&key)));
            }
            Purpose::LookupKey => {
                self.lookup_keys.insert(version, Arc::new(key));
            }
        }
        self.note(context, active);
    }

    /// Adds a key that `keyring` has. Returns whether it has it.
    pub fn take_over(&mut self, keyring: &Keyring, context: Context, active: bool) -> bool {
        let Context { purpose, version } = context;
        let is_there = match purpose {
            Purpose::DataKey => {
                let known = keyring.data_keys.get(&version).cloned();
                known.map(|key| self.data_keys.insert(version, key)).is_some()
            }
            Purpose::LookupKey => {
                let known = keyring.lookup_keys.get(&version).cloned();
                known.map(|key| self.lookup_keys.insert(version, key)).is_some()
            }
        };
        self.note(context, active && is_there);
        is_there
    }

    fn note(&mut self, context: Context, active: bool) {
        let place = match context.purpose {
            Purpose::DataKey => &mut self.active,
            Purpose::LookupKey => &mut self.active_lookup,
        };
        if active {
            *place = Some(context.version);
        }
    }

    /// Takes note of a data key that there is no more: what was sealed under it says so when it is opened.
    pub fn note_destroyed(&mut self, version: u32) {
        self.destroyed.insert(version);
    }

    /// The keyring, with nothing granted yet; nothing if there is no active data key or no active lookup key.
    #[must_use]
    pub fn build(self) -> Option<Keyring> {
        Some(Keyring {
            active: self.active?,
            active_lookup: self.active_lookup?,
            data_keys: self.data_keys,
            destroyed: self.destroyed,
            lookup_keys: self.lookup_keys,
            allowance: Arc::default(),
        })
    }

    /// The keyring that takes the place of `before`. Where the same data key is active in both they share what was
    /// granted.
    #[must_use]
    pub fn build_after(self, before: &Keyring) -> Option<Keyring> {
        let keyring = self.build()?;
        let same = keyring.active == before.active;
        Some(if same { Keyring { allowance: before.allowance.clone(), ..keyring } } else { keyring })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("versions", &self.data_keys.keys()).finish_non_exhaustive()
    }
}
