//! An install as the database keeps it.

use protocol::{rate::Rate, replay::ReplayState, secrets::Secrets};

use crate::pool::Pooled;

/// The part of an install's row that its requests change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Install {
    /// Which.
    pub(crate) number: u8,
    pub(crate) secrets: Option<Secrets>,
    pub(crate) replay: ReplayState,
    pub(crate) rate: Rate,
    pub(crate) clone_suspected_at: Option<i64>,
    pub(crate) activation_digest: [u8; 32],
    pub(crate) activation_at: i64,
    pub(crate) reactivations: Vec<i64>,
    pub(crate) next_reactivation_free: bool,
}

impl Pooled for Install {
    fn key(&self) -> Vec<u8> {
        let Self { number, secrets, replay, rate, clone_suspected_at, .. } = self;
        let mut key = vec![*number, u8::from(secrets.is_some()), u8::from(self.next_reactivation_free)];
        key.extend_from_slice(&secrets.as_ref().map(Secrets::to_bytes).unwrap_or_default());
        key.extend_from_slice(&replay.high().to_be_bytes());
        key.extend_from_slice(&replay.window_bytes());
        key.extend_from_slice(replay.nonce_bytes());
        key.extend_from_slice(&self.activation_digest);
        for instant in [rate.tat, clone_suspected_at.unwrap_or(-1), self.activation_at] {
            key.extend_from_slice(&instant.to_be_bytes());
        }
        for instant in &self.reactivations {
            key.extend_from_slice(&instant.to_be_bytes());
        }
        key
    }

    fn is(&self, other: &Self) -> bool {
        self == other
    }
}
