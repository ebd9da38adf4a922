//! Ed25519 public keys as JSON (RFC 7517, RFC 8037 section 2).

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Error, PublicKey, base64url};

/// A public key as `{ "kty":"OKP", "crv":"Ed25519", "x", "kid", "use":"sig" }`.
///
/// What is read must have exactly these values, and as `kid` its own thumbprint; further members are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Members", into = "Members")]
pub struct Jwk(PublicKey);

impl Jwk {
    /// Reads the JSON of one key; [`Error::Jwk`] if it isn't as described, [`Error::PublicKey`] where a
    /// well-formed one holds no acceptable point.
    pub fn parse(json: &str) -> Result<Self, Error> {
        serde_json::from_str::<Members>(json).map_err(|_| Error::Jwk)?.try_into()
    }

    /// The key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.0
    }

    /// The key, taken out.
    #[must_use]
    pub fn into_public_key(self) -> PublicKey {
        self.0
    }

    /// The RFC 7638 SHA-256 thumbprint, `b64u`.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        self.0.kid()
    }
}

impl From<PublicKey> for Jwk {
    fn from(key: PublicKey) -> Self {
        Self(key)
    }
}

/// RFC 7638 section 3.2, RFC 8037 section 2: the required members in lexicographic order, without white space.
pub(crate) fn thumbprint(x: &[u8; 32]) -> String {
    let json = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url::encode(x));
    base64url::encode(&Sha256::digest(json))
}

/// The JSON as it stands.
#[derive(Serialize, Deserialize)]
struct Members {
    kty: String,
    crv: String,
    x: String,
    kid: String,
    #[serde(rename = "use")]
    use_: String,
}

impl From<Jwk> for Members {
    fn from(Jwk(key): Jwk) -> Self {
        Self {
            kty: "OKP".into(),
            crv: "Ed25519".into(),
            x: key.to_string(),
            kid: key.kid().into(),
            use_: "sig".into(),
        }
    }
}

impl TryFrom<Members> for Jwk {
    type Error = Error;

    fn try_from(members: Members) -> Result<Self, Error> {
        let key: PublicKey = members.x.parse()?;
        let Members { kty, crv, kid, use_, .. } = members;
        if (&*kty, &*crv, &*kid, &*use_) == ("OKP", "Ed25519", key.kid(), "sig") {
            Ok(Self(key))
        } else {
            Err(Error::Jwk)
        }
    }
}
