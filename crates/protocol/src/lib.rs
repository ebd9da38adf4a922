//! What goes over the wire: proofs, bodies, claims, problems, license keys, fingerprints.
//!
//! `docs/protocol.md` is the page that this crate holds to. Nothing here does I/O, reads a clock or makes
//! randomness by itself: instants and random bytes come in, except through [`ambient`] with the feature
//! `system`. Types can't be wrong once built: what parses prints back to itself.

#![allow(clippy::missing_panics_doc, reason = "what is expected here cannot fail, and each place says why")]

pub mod activation;
#[cfg(feature = "admin")]
pub mod admin;
pub mod admission;
pub mod ambient;
pub mod claims;
pub mod counter;
mod expected;
pub mod fingerprint;
pub mod id;
pub mod jitter;
pub mod json;
pub mod keyset;
pub mod lease;
pub mod license_key;
pub mod nonce;
pub mod offline;
pub mod problem;
pub mod product;
pub mod proof;
pub mod rate;
pub mod replay;
pub mod request;
pub mod response;
mod secret;
pub mod secrets;
pub mod token;

pub use counter::Counter;
pub use expected::Expected;
pub use fingerprint::Fingerprint;
pub use id::{
    ActorId, ApiKeyId, AuditId, BatchId, DeliveryId, HeartbeatId, InstallId, LeaseId, LicenseId, ProfileId,
    TokenId, UserId, WebhookId,
};
pub use license_key::LicenseKey;
pub use nonce::{InstanceId, Nonce};
pub use product::ProductCode;
pub use secret::Secret;

/// The greatest integer that every JSON implementation reads exactly: 2^53 − 1 (RFC 8259 section 6).
pub const MAX_INTEGER: i64 = (1 << 53) - 1;
