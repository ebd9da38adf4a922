//! An activation that is under way, as it is kept on disk. Pure.

use protocol::{LicenseKey, Nonce, ProductCode, ambient::Random, claims::VerifiedDecision, fingerprint};
use serde::{Deserialize, Serialize};

use crate::{Error, clock::Reading, exchange};

/// For how long an attempt with the same key counts as the same activation, in seconds.
const LIFETIME: i64 = 600;

/// An activation whose answer didn't come: tried again with its own nonce it counts once, and the seat and the
/// reactivation that the lost answer took aren't taken twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    nonce: Nonce,
    /// Tells keys apart; 140 random bits can't be guessed from it.
    key_digest: String,
    begun: Reading,
}

impl Activation {
    /// The activation that is pending, if it is with this key and young enough; otherwise a new one.
    pub fn resume(
        pending: Option<Self>,
        product: &ProductCode,
        key: &LicenseKey,
        reading: &Reading,
        random: &dyn Random,
    ) -> Self {
        let key_digest = fingerprint::digest(product, "license_key", key.canonical());
        pending
            .filter(|pending| pending.key_digest == key_digest && pending.is_young(reading))
            .unwrap_or_else(|| Self {
                nonce: exchange::new_nonce(random),
                key_digest,
                begun: reading.clone(),
            })
    }

    /// What the attempts have in common.
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// Whether what came of an attempt ends the activation. Otherwise this attempt, or one before it, may have been
    /// taken, and it is tried again as the same: no answer came, or one that refuses no more than the attempt.
    pub const fn is_ended_by(result: &Result<(), Error>) -> bool {
        match result {
            Ok(()) => true,
            Err(Error::Problem { code: Some(code), .. }) => code.status() < 500 && code.status() != 429,
            Err(_) => false,
        }
    }

    /// Whether this is the decision that answers it. Such a one is forgotten before anything is sent under the secret that
    /// came with the answer: asked for again, it would start the counters anew, while that secret serves on.
    pub fn is_answered_by(&self, claims: Option<&VerifiedDecision>) -> bool {
        claims.is_some_and(|claims| claims.nonce == self.nonce)
    }

    fn is_young(&self, reading: &Reading) -> bool {
        let passed = match reading.measured_since(&self.begun) {
            Some(measured) => measured / 1000,
            None => reading.unix.saturating_sub(self.begun.unix),
        };
        (0..LIFETIME).contains(&passed)
    }
}

#[cfg(test)]
mod tests {
    use protocol::ambient::SeededRandom;

    use super::*;

    fn reading(boot: &str, unix: i64, monotonic: i64) -> Reading {
        Reading { unix, monotonic_ms: monotonic * 1000, boot_id: boot.into() }
    }

    #[test]
    fn a_lost_answer_is_asked_for_again_with_the_same_nonce_for_ten_minutes() {
        let random = SeededRandom::new(1);
        let product = "acme-render".parse().unwrap();
        let key = LicenseKey::parse("QT1-DQSGN8-DJS3C2-WZDKGS-EY840A-45HYW4").unwrap();
        let other = LicenseKey::generate([7; 18]);
        let resume = |pending: &Activation, key, reading: Reading| {
            Activation::resume(Some(pending.clone()), &product, key, &reading, &random)
        };
        let first = Activation::resume(None, &product, &key, &reading("a", 1000, 10), &random);
        assert_eq!(resume(&first, &key, reading("a", 0, 609)), first);
        assert_eq!(resume(&first, &key, reading("b", 1599, 0)), first);
        for later in [reading("a", 1000, 610), reading("b", 1600, 0), reading("b", 999, 0)] {
            assert_ne!(resume(&first, &key, later).nonce, first.nonce);
        }
        assert_ne!(resume(&first, &other, reading("a", 1000, 11)).nonce, first.nonce);
        assert!(!serde_json::to_string(&first).unwrap().contains("DQSGN8"));
    }
}
