//! The keys that decisions and leases are verified with, and how an agent comes to trust them.

use jose_jwt::{Jwk, PublicKey, SigningKey};
use serde::{Deserialize, Serialize};

use crate::{
    claims::{KeysetClaims, RootClaims, Use},
    token::{self, TokenError},
};

/// Keys that the root key vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyset(KeysetClaims);

impl Keyset {
    /// Verifies a keyset with the root key that is trusted. [`TokenError::UnknownKey`]: it is under another root,
    /// which may be a successor.
    pub fn verify(text: &str, root: &PublicKey, iss: &str) -> Result<Self, TokenError> {
        let claims: KeysetClaims = token::open(text, |kid| (kid == root.kid()).then_some(root))?;
        if claims.iss == iss { Ok(Self(claims)) } else { Err(TokenError::Issuer(claims.iss)) }
    }

    /// The key of this name and use.
    #[must_use]
    pub fn key(&self, kid: &str, of: Use) -> Option<&PublicKey> {
        let is_wanted = |key: &&crate::claims::KeysetKey| key.use_for == of && key.jwk.thumbprint() == kid;
        self.0.keys.iter().find(is_wanted).map(|key| key.jwk.public_key())
    }

    /// Its version: larger with every change.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.0.version
    }

    /// Whether it verifies nothing new any more, at `now` (Unix seconds).
    #[must_use]
    pub const fn is_expired(&self, now: i64) -> bool {
        now >= self.0.exp
    }

    /// What it says.
    #[must_use]
    pub const fn claims(&self) -> &KeysetClaims {
        &self.0
    }
}

/// Signs a keyset with the root key.
#[must_use]
pub fn sign(claims: &KeysetClaims, root: &SigningKey) -> String {
    token::sign(claims, root).0
}

/// Signs the successor of a root key with that key.
#[must_use]
pub fn sign_successor(claims: &RootClaims, root: &SigningKey) -> String {
    token::sign(claims, root).0
}

/// Verifies the successor of the root key that is trusted, and gives it.
pub fn verify_successor(text: &str, root: &PublicKey, iss: &str) -> Result<PublicKey, TokenError> {
    let claims: RootClaims = token::open(text, |kid| (kid == root.kid()).then_some(root))?;
    if claims.iss == iss { Ok(claims.root.into_public_key()) } else { Err(TokenError::Issuer(claims.iss)) }
}

/// The public keys as `/.well-known/jwks.json` shows them (RFC 7517 section 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// Every key that verifies now.
    pub keys: Vec<Jwk>,
}
