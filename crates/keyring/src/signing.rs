//! The life of a signing key, as data: prepared (published, signs nothing) → active (signs) → retiring (verifies
//! only) → retired; or tainted, at any time. `docs/protocol.md`, "Keys".
//!
//! [`rotate`] and [`taint`] say which instants of which [`KeyRecord`]s change; everything else follows from the instants
//! and the time. An instant that equals a bound is past it. Who carries a [`Step`] out does so in one transaction, with
//! the keyset that tells of it.
//!
//! INVARIANT(overlap): a process signs with nothing that it read more than [`READ_WITHIN`] seconds ago, and a key whose
//! successor signs may go on for [`OVERLAP`] seconds. So a process that hasn't heard of a rotation yet signs with a key
//! that still may, one that has heard of it signs with the new key, and none ever has nothing to sign with.

mod step;

use std::str::FromStr;

use jose_jwt::{Jwk, PublicKey};
use protocol::{
    claims::{KeysetClaims, KeysetKey, Use},
    keyset::Jwks,
};

use crate::Error;

pub use step::{Pace, Step, StepError, is_rotation_due, rotate, taint};

/// For how many seconds after it was read a process may sign with a key.
pub const READ_WITHIN: i64 = 60;

/// For how many seconds a key may still sign when its successor does: until every process has read of that, and as much
/// again for a transaction that takes its time and for clocks that differ.
pub const OVERLAP: i64 = 2 * READ_WITHIN;

/// The longest that a token lives, seconds: no profile may say more (`docs/policy.md`, `cadence`).
pub const LONGEST_TOKEN: i64 = 1_209_600;

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyUse {
    /// Tokens.
    Token,
    /// Offline leases.
    Lease,
}

impl KeyUse {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Token, Self::Lease];

    /// Its name, as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Lease => "lease",
        }
    }
}

impl FromStr for KeyUse {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|key_use| key_use.as_str() == name).ok_or(Error::KeyUse)
    }
}

impl From<KeyUse> for Use {
    fn from(key_use: KeyUse) -> Self {
        match key_use {
            KeyUse::Token => Self::Token,
            KeyUse::Lease => Self::Lease,
        }
    }
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Published, so that every agent knows it before it signs.
    Prepared,
    /// Signs. One key of each use does.
    Active,
    /// Its successor signs: it verifies until the last thing that it signed has expired. A process that hasn't heard of
    /// the successor yet may sign with it until its `sign_until`.
    Retiring,
    /// Neither signs nor verifies any more.
    Retired,
    /// Not to be trusted, whatever it signed and when.
    Tainted,
}

impl Stage {
    /// Its name, as people see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Tainted => "tainted",
        }
    }
}

/// A signing key's public half and the instants of its life, in Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// What it signs.
    pub key_use: KeyUse,
    /// What verifies.
    pub public: PublicKey,
    /// From when on it was published.
    pub publish_at: i64,
    /// From when on it signs; nothing while that isn't decided.
    pub sign_from: Option<i64>,
    /// Until when it signs; nothing while that isn't decided.
    pub sign_until: Option<i64>,
    /// Until when it verifies; nothing while that isn't decided.
    pub verify_until: Option<i64>,
    /// When it was found not to be trusted any more.
    pub tainted_at: Option<i64>,
}

impl KeyRecord {
    /// Its name: the thumbprint of its public half.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// Where it is in its life at `now`. It becomes active, retiring or tainted when that is decided; it retires with the
    /// time.
    #[must_use]
    pub fn stage(&self, now: i64) -> Stage {
        if self.tainted_at.is_some() {
            Stage::Tainted
        } else if self.verify_until.is_some_and(|until| now >= until) {
            Stage::Retired
        } else if self.sign_until.is_some() {
            Stage::Retiring
        } else if self.sign_from.is_some() {
            Stage::Active
        } else {
            Stage::Prepared
        }
    }

    /// Whether it stands in keyset and JWKS at `now`: prepared, active or retiring.
    #[must_use]
    pub fn is_listed(&self, now: i64) -> bool {
        self.stage(now) < Stage::Retired
    }
}

/// The key of a use that signs: the active one, whose turn has come when it was decided. By a clock that is behind that
/// may be in the future; but the key before it may be tainted, so nobody waits.
#[must_use]
pub fn signer(records: &[KeyRecord], key_use: KeyUse, now: i64) -> Option<&KeyRecord> {
    records.iter().find(|record| record.key_use == key_use && record.stage(now) == Stage::Active)
}

fn listed(records: &[KeyRecord], now: i64) -> impl Iterator<Item = (KeyUse, Jwk)> {
    records
        .iter()
        .filter(move |record| record.is_listed(now))
        .map(|record| (record.key_use, record.public.clone().into()))
}

/// The claims of a keyset that is signed `now` and ends at `expires_at`: every key that is listed, in the order of the
/// records. `version` has to be above the last one's.
#[must_use]
pub fn keyset(records: &[KeyRecord], issuer: &str, version: u64, now: i64, expires_at: i64) -> KeysetClaims {
    KeysetClaims {
        iss: issuer.to_owned(),
        version,
        iat: now,
        exp: expires_at,
        keys: listed(records, now).map(|(key_use, jwk)| KeysetKey { jwk, use_for: key_use.into() }).collect(),
    }
}

/// The keys of `/.well-known/jwks.json`: every key that is listed, in the order of the records.
#[must_use]
pub fn jwks(records: &[KeyRecord], now: i64) -> Jwks {
    Jwks { keys: listed(records, now).map(|(_, jwk)| jwk).collect() }
}

/// Whether a keyset has to be signed anew for its age alone: a third of its life is gone.
#[must_use]
pub const fn is_renewal_due(issued_at: i64, expires_at: i64, now: i64) -> bool {
    now >= issued_at.saturating_add(expires_at.saturating_sub(issued_at) / 3)
}

#[cfg(test)]
mod tests {
    use jose_jwt::SigningKey;

    use super::{
        Stage::{Active, Prepared, Retired, Retiring},
        *,
    };

    fn record(seed: u8, key_use: KeyUse) -> KeyRecord {
        KeyRecord {
            key_use,
            public: SigningKey::from_seed(&[seed; 32]).public().clone(),
            publish_at: 100,
            sign_from: None,
            sign_until: None,
            verify_until: None,
            tainted_at: None,
        }
    }

    fn whole_life() -> KeyRecord {
        KeyRecord {
            sign_from: Some(200),
            sign_until: Some(300),
            verify_until: Some(400),
            ..record(1, KeyUse::Token)
        }
    }

    #[test]
    fn a_stage_begins_when_it_is_decided_and_the_last_with_the_time() {
        let prepared = record(1, KeyUse::Token);
        let active = KeyRecord { sign_from: Some(200), ..prepared.clone() };
        for now in [i64::MIN, 100, 200, i64::MAX] {
            assert_eq!((prepared.stage(now), active.stage(now)), (Prepared, Active));
        }
        let stages = [100, 299, 300, 399, 400, i64::MAX].map(|now| whole_life().stage(now));
        assert_eq!(stages, [Retiring, Retiring, Retiring, Retiring, Retired, Retired]);
    }

    #[test]
    fn the_active_key_of_a_use_signs_whatever_the_clock_says() {
        let new = KeyRecord { sign_from: Some(250), ..record(2, KeyUse::Token) };
        let other_use = KeyRecord { sign_from: Some(150), ..record(3, KeyUse::Lease) };
        let records = [whole_life(), record(4, KeyUse::Token), new.clone(), other_use.clone()];
        for now in [0, 249, 250, 300, i64::MAX] {
            assert_eq!(signer(&records, KeyUse::Token, now), Some(&new));
            assert_eq!(signer(&records, KeyUse::Lease, now), Some(&other_use));
        }
        let tainted = KeyRecord { tainted_at: Some(0), ..new };
        assert_eq!(signer(&[tainted], KeyUse::Token, 300), None);
    }

    #[test]
    fn a_tainted_key_is_tainted_at_any_time() {
        let tainted = KeyRecord { tainted_at: Some(250), ..whole_life() };
        for now in [i64::MIN, 100, 200, 250, 300, 400, i64::MAX] {
            assert_eq!(tainted.stage(now), Stage::Tainted);
            assert!(!tainted.is_listed(now));
        }
    }

    #[test]
    fn the_keyset_and_the_jwks_list_what_verifies_now() {
        let retiring = KeyRecord {
            sign_from: Some(0),
            sign_until: Some(50),
            verify_until: Some(200),
            ..record(1, KeyUse::Token)
        };
        let active = KeyRecord { sign_from: Some(50), ..record(2, KeyUse::Token) };
        let prepared = record(3, KeyUse::Token);
        let lease = KeyRecord { sign_from: Some(50), ..record(4, KeyUse::Lease) };
        let tainted = KeyRecord { tainted_at: Some(60), ..record(5, KeyUse::Lease) };
        let records = [retiring, active, prepared, lease, tainted];

        let claims = keyset(&records, "https://example.com", 7, 199, 1000);
        assert_eq!(
            (claims.iss.as_str(), claims.version, claims.iat, claims.exp),
            ("https://example.com", 7, 199, 1000)
        );
        let keys: Vec<_> = claims.keys.iter().map(|key| (key.jwk.thumbprint(), key.use_for)).collect();
        let expected: Vec<_> =
            records[..4].iter().map(|record| (record.kid(), record.key_use.into())).collect();
        assert_eq!(keys, expected);
        assert!(jwks(&records, 199).keys.iter().eq(claims.keys.iter().map(|key| &key.jwk)));

        // A second later the retiring one has retired.
        assert!(jwks(&records, 200).keys.iter().eq(claims.keys[1..].iter().map(|key| &key.jwk)));
        assert_eq!(keyset(&records, "https://example.com", 8, 200, 1000).keys, claims.keys[1..]);
    }

    #[test]
    fn a_keyset_is_renewed_when_a_third_of_its_life_is_gone() {
        assert!(!is_renewal_due(1000, 1300, 1099));
        assert!(is_renewal_due(1000, 1300, 1100));
        assert!(is_renewal_due(1000, 1300, 5000));
        assert!(is_renewal_due(i64::MIN, i64::MAX, i64::MAX));
        assert!(!is_renewal_due(i64::MAX, i64::MAX, 0));
    }

    #[test]
    fn uses_have_names_that_read_back() {
        for key_use in [KeyUse::Token, KeyUse::Lease] {
            assert_eq!(key_use.as_str().parse::<KeyUse>().unwrap(), key_use);
            assert_eq!(Use::from(key_use).as_str(), key_use.as_str());
        }
        assert!(matches!("Token".parse::<KeyUse>(), Err(Error::KeyUse)));
    }
}
