//! Which keys an agent believes: the pinned root, the successors that it signed, and the keysets under them. Pure.

use jose_jwt::PublicKey;
use protocol::{
    claims::{VerifiedDecision, VerifiedLease},
    keyset::{self, Keyset},
    token::{Expect, TokenError, verify_decision, verify_lease},
};
use serde::{Deserialize, Serialize};

use crate::Error;

/// By how much an answer's own clock may differ from what it signed, to count, in seconds.
const MAX_DIFFERENCE: u64 = 60;

/// What is signed by a keyset's keys: a decision or a lease.
pub(crate) trait Signed: Sized {
    /// Verifies a text with a keyset.
    fn verify(text: &str, keyset: &Keyset, expect: &Expect<'_>) -> Result<Self, TokenError>;

    /// Its `iat`, its `nbf` and its `exp`.
    fn life(&self) -> (i64, i64, i64);
}

impl Signed for VerifiedDecision {
    fn verify(text: &str, keyset: &Keyset, expect: &Expect<'_>) -> Result<Self, TokenError> {
        verify_decision(text, keyset, expect)
    }

    fn life(&self) -> (i64, i64, i64) {
        (self.iat, self.nbf, self.exp)
    }
}

impl Signed for VerifiedLease {
    fn verify(text: &str, keyset: &Keyset, expect: &Expect<'_>) -> Result<Self, TokenError> {
        verify_lease(text, keyset, expect)
    }

    fn life(&self) -> (i64, i64, i64) {
        (self.iat, self.nbf, self.exp)
    }
}

/// What there is to know of the time when something new is verified, in Unix seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// A time that is certainly past.
    pub(crate) surely: i64,
    /// What the answer itself says, if it says anything. It isn't signed.
    pub(crate) told: Option<i64>,
}

impl Now {
    /// The time, for something of this `iat`. What isn't signed counts only where it agrees with what is: a lie about
    /// the time makes nothing good that has ended, and nothing ended that is good.
    fn of(self, iat: i64) -> i64 {
        let told = self.told.filter(|told| told.abs_diff(iat) <= MAX_DIFFERENCE);
        told.unwrap_or(iat).max(iat).max(self.surely)
    }
}

/// The signed texts that an agent's trust rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustRecord {
    /// The successors of the pinned root, each signed by the one before it.
    successors: Vec<String>,
    /// Keysets, the newest first; older ones only where something that is still believed was verified by them.
    keysets: Vec<String>,
}

/// The keys that those texts stand for.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    record: TrustRecord,
    /// The pinned root and its successors; never empty.
    roots: Vec<PublicKey>,
    /// As many as `record` has, in the same order.
    keysets: Vec<Keyset>,
}

impl Trust {
    /// Nothing but the pinned root.
    pub(crate) fn new(pinned: PublicKey) -> Self {
        Self { record: TrustRecord::default(), roots: vec![pinned], keysets: Vec::new() }
    }

    /// Verifies again what was verified before, without regard to its age.
    pub(crate) fn open(record: TrustRecord, pinned: PublicKey, iss: &str) -> Result<Self, TokenError> {
        let mut trust = Self::new(pinned);
        for text in &record.successors {
            trust.roots.push(keyset::verify_successor(text, trust.root(), iss)?);
        }
        for text in &record.keysets {
            let by_any = trust.roots.iter().find_map(|root| Keyset::verify(text, root, iss).ok());
            trust.keysets.push(by_any.ok_or(TokenError::UnknownKey)?);
        }
        Ok(Self { record, ..trust })
    }

    pub(crate) const fn record(&self) -> &TrustRecord {
        &self.record
    }

    /// The root that is trusted now: the last successor.
    pub(crate) fn root(&self) -> &PublicKey {
        self.roots.last().expect("the pinned root is always there")
    }

    /// The newest keyset that was seen.
    pub(crate) fn newest(&self) -> Option<&Keyset> {
        self.keysets.first()
    }

    /// Verifies something new, with the newest keyset: one that has expired verifies nothing new.
    pub(crate) fn verify<S: Signed>(
        &self,
        text: &str,
        expect: &Expect<'_>,
        now: Now,
    ) -> Result<S, TokenError> {
        let keyset = self.newest().ok_or(TokenError::UnknownKey)?;
        if keyset.is_expired(now.surely) {
            return Err(TokenError::KeysetExpired);
        }
        let signed = S::verify(text, keyset, expect)?;
        let (iat, nbf, exp) = signed.life();
        if keyset.is_expired(now.of(iat)) {
            return Err(TokenError::KeysetExpired);
        }
        // An honest one is valid from its `iat` on.
        if nbf > now.of(iat).saturating_add_unsigned(MAX_DIFFERENCE) {
            return Err(TokenError::Early);
        }
        if exp <= now.of(iat) { Err(TokenError::Expired) } else { Ok(signed) }
    }

    /// Verifies something that was verified before: by whichever keyset that was.
    pub(crate) fn verify_again<S: Signed>(&self, text: &str, expect: &Expect<'_>) -> Result<S, TokenError> {
        let mut refused = TokenError::UnknownKey;
        for keyset in &self.keysets {
            match S::verify(text, keyset, expect) {
                Ok(signed) => return Ok(signed),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Takes a keyset of the trusted root that isn't older than the newest. [`TokenError::UnknownKey`]: it is under
    /// another root.
    pub(crate) fn take_keyset(&mut self, text: &str, iss: &str) -> Result<(), Error> {
        let keyset = Keyset::verify(text, self.root(), iss).map_err(Error::Keyset)?;
        let age = |keyset: &Keyset| (keyset.version(), keyset.claims().iat);
        if self.newest().is_some_and(|newest| age(&keyset) < age(newest)) {
            return Err(Error::KeysetRollback);
        }
        if self.newest() != Some(&keyset) {
            self.keysets.insert(0, keyset);
            self.record.keysets.insert(0, text.to_owned());
        }
        Ok(())
    }

    /// Takes the successor of the trusted root: from now on that one is trusted. One that was left is no successor, or
    /// a circle of them would have no end.
    pub(crate) fn take_successor(&mut self, text: &str, iss: &str) -> Result<(), Error> {
        let successor = keyset::verify_successor(text, self.root(), iss).map_err(Error::Keyset)?;
        if self.roots.contains(&successor) {
            return Err(Error::Keyset(TokenError::UnknownKey));
        }
        self.roots.push(successor);
        self.record.successors.push(text.to_owned());
        Ok(())
    }

    /// Forgets the keysets that neither are the newest nor the first to verify any of these.
    pub(crate) fn prune(&mut self, needed: &[&dyn Fn(&Keyset) -> bool]) {
        let mut kept: Vec<_> =
            needed.iter().filter_map(|verifies| self.keysets.iter().position(verifies)).collect();
        kept.push(0);
        let mut index = 0..;
        self.keysets.retain(|_| index.next().is_some_and(|index| kept.contains(&index)));
        let mut index = 0..;
        self.record.keysets.retain(|_| index.next().is_some_and(|index| kept.contains(&index)));
    }
}
