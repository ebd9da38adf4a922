//! Which situations came up: a model that never gets into one proves nothing about it.

use std::sync::atomic::{AtomicU32, Ordering};

/// A situation that is to come up in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Situation {
    /// A request was accepted.
    Accepted,
    /// A nonce came twice.
    Replayed,
    /// A request was overtaken by a later one.
    Stale,
    /// A request came from a second holder of the secret, or from an old image.
    Fork,
    /// An install was to be judged too often.
    TooOften,
    /// A proof didn't hold.
    Unproven,
    /// Two processes judged one install at once, and one was too late.
    Overtaken,
    /// An agent heard of a new secret.
    Rekeyed,
    /// A machine was activated, or installed again.
    Activated,
    /// A lost activation was asked for again.
    Retried,
    /// An agent found that its secrets are dead.
    ActivationNeeded,
    /// A suspicion was cleared for good.
    Cleared,
}

impl Situation {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Accepted,
        Self::Replayed,
        Self::Stale,
        Self::Fork,
        Self::TooOften,
        Self::Unproven,
        Self::Overtaken,
        Self::Rekeyed,
        Self::Activated,
        Self::Retried,
        Self::ActivationNeeded,
        Self::Cleared,
    ];
}

/// The situations that came up.
#[derive(Debug, Default)]
pub(crate) struct Seen(AtomicU32);

impl Seen {
    pub(crate) fn add(&self, situation: Situation) {
        self.0.fetch_or(1 << situation as u8, Ordering::Relaxed);
    }

    pub(crate) fn has(&self, situation: Situation) -> bool {
        self.0.load(Ordering::Relaxed) & (1 << situation as u8) != 0
    }
}
