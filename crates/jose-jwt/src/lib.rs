//! JWS, JWE and JWK as far as the protocol needs them: Ed25519 signatures (RFC 7515, RFC 8037), `dir` and `ECDH-ES`
//! over X25519 with A256GCM (RFC 7516, RFC 7518, RFC 8037), and their public keys (RFC 7517, RFC 7638). Nothing else
//! is understood, so nothing else can be talked into being accepted.
//!
//! The crate does no I/O and draws no random numbers: seeds, private keys and initialization vectors come from the
//! caller.
//!
//! ```
//! use jose_jwt::{SigningKey, jws};
//!
//! let key = SigningKey::from_seed(&[7; 32]);
//! let token = jws::sign("example+jwt", br#"{"sub":"me"}"#, &key);
//!
//! let received = jws::Compact::parse(&token)?;
//! assert_eq!((received.typ(), received.kid()), ("example+jwt", key.kid()));
//! assert_eq!(received.verify(key.public())?, br#"{"sub":"me"}"#);
//! # Ok::<(), jose_jwt::Error>(())
//! ```

pub mod base64url;
mod concat_kdf;
mod error;
mod header;
pub mod jwe;
mod jwk;
pub mod jws;
mod key;
mod private_jwk;
pub mod x25519;

pub use error::Error;
pub use jwk::Jwk;
pub use key::{PublicKey, SigningKey};
