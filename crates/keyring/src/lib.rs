//! Keys at rest: key-encryption providers, data keys, sealed columns, signing keys.
//!
//! A *key-encryption key* ([`KeyEncryption`]) wraps the data keys and the lookup key; it never is in the database. A
//! [`Keyring`] holds those unwrapped, for the life of a process: it seals and opens column values, each bound to the
//! place where it stands, and makes the blind index over license keys. [`signing`] says what each signing key may do
//! at which time.

mod cipher;
mod context;
mod error;
mod keyring;
mod kms;
mod local;
mod provider;
mod rds;
mod root_file;
pub mod signing;

pub use context::{Context, Purpose};
pub use error::Error;
pub use keyring::{Builder, Keyring, Place};
pub use kms::{KmsFault, KmsKeyId, KmsProvider};
pub use local::LocalProvider;
pub use provider::{KeyEncryption, Pending, Wrapped};
pub use rds::RdsTokens;
pub use root_file::{read_roots, write_roots};
