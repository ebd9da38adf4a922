//! Ed25519 keys (RFC 8032), named by the thumbprints of their JWKs.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use zeroize::Zeroizing;

use crate::{Error, base64url, jwk};

/// A public key that is fit to verify with: the canonical encoding of a point that isn't of low order.
///
/// Its text is `b64u` of the 32 bytes.
#[derive(Clone)]
pub struct PublicKey {
    point: VerifyingKey,
    kid: String,
}

impl PublicKey {
    /// Checks and takes the 32 bytes of RFC 8032 section 5.1.2; otherwise [`Error::PublicKey`].
    ///
    /// Non-canonical encodings would give one key several names, and for a point of low order a signature
    /// can be made without any private key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Error> {
        let point = VerifyingKey::from_bytes(bytes).map_err(|_| Error::PublicKey)?;
        if point.is_weak() || point.to_edwards().compress().to_bytes() != *bytes {
            return Err(Error::PublicKey);
        }
        Ok(Self::new(point))
    }

    fn new(point: VerifyingKey) -> Self {
        Self { kid: jwk::thumbprint(point.as_bytes()), point }
    }

    /// The 32 bytes of RFC 8032 section 5.1.2.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.point.as_bytes()
    }

    /// The key's name: the RFC 7638 SHA-256 thumbprint of its JWK, `b64u`.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Verifies a signature strictly: S and R must be canonical and R not of low order (RFC 8032 section 5.1.7,
    /// and stricter), so that no second signature can be derived from a first.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), Error> {
        self.point.verify_strict(message, &Signature::from_bytes(signature)).map_err(|_| Error::Signature)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(&base64url::decode_array(text)?)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A private key. It is wiped from memory when dropped, and never printed.
#[derive(Clone)]
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    public: PublicKey,
}

impl SigningKey {
    /// The key that RFC 8032 section 5.1.5 makes of a seed. Any 32 random bytes are one.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        Self { public: PublicKey::new(key.verifying_key()), key }
    }

    /// The seed, for whoever seals it or exports it.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The public half's [`kid`](PublicKey::kid).
    #[must_use]
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// Signs a message (RFC 8032 section 5.1.6). Deterministic.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid()).finish_non_exhaustive()
    }
}
