//! Keys by which two sides come to a common one: X25519 (RFC 7748), as JSON by RFC 8037 section 2.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::{Error, base64url};

/// A public key with which an agreement depends on both sides.
///
/// As JSON it is `{ "kty":"OKP", "crv":"X25519", "x" }`; what is read must have exactly these values, further
/// members are ignored. Its text is `b64u` of the 32 bytes.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Members", into = "Members")]
pub struct PublicKey(x25519_dalek::PublicKey);

impl PublicKey {
    /// Takes the 32 bytes of RFC 7748 section 5; [`Error::PublicKey`] for a point of low order, with which every
    /// private key agrees on zero (RFC 7748 section 6.1).
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Error> {
        let point = x25519_dalek::PublicKey::from(*bytes);
        // Private keys are multiples of the cofactor: with one of them a point gives zero if it does with all.
        let any = StaticSecret::from([0; 32]);
        if any.diffie_hellman(&point).was_contributory() { Ok(Self(point)) } else { Err(Error::PublicKey) }
    }

    /// The 32 bytes of RFC 7748 section 5.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
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
pub struct SecretKey(StaticSecret);

impl SecretKey {
    /// The key of 32 random bytes; any are one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(StaticSecret::from(*bytes))
    }

    /// The bytes that it was made of, for whoever keeps it.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey((&self.0).into())
    }

    /// What both sides come to: RFC 7748 section 6.1. It is no key yet, [`jwe`](crate::jwe) derives one.
    pub(crate) fn agree(&self, theirs: &PublicKey) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.diffie_hellman(&theirs.0).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// The JSON as it stands.
#[derive(Serialize, Deserialize)]
struct Members {
    kty: String,
    crv: String,
    x: String,
}

impl From<PublicKey> for Members {
    fn from(key: PublicKey) -> Self {
        Self { kty: "OKP".into(), crv: "X25519".into(), x: key.to_string() }
    }
}

impl TryFrom<Members> for PublicKey {
    type Error = Error;

    fn try_from(Members { kty, crv, x }: Members) -> Result<Self, Error> {
        if (&*kty, &*crv) == ("OKP", "X25519") { x.parse() } else { Err(Error::Jwk) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7748 section 6.1, which RFC 8037 appendix A.6 spells as JWKs.
    #[test]
    fn both_sides_come_to_what_rfc_8037_says() {
        let key = |hex| SecretKey::from_bytes(&from_hex(hex));
        let ephemeral = key("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let bob = key("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let public = |x| PublicKey::try_from(Members { kty: "OKP".into(), crv: "X25519".into(), x });
        assert_eq!(public("hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo".to_owned()), Ok(ephemeral.public()));
        assert_eq!(public("3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08".to_owned()), Ok(bob.public()));

        let z = from_hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(*ephemeral.agree(&bob.public()), z);
        assert_eq!(*bob.agree(&ephemeral.public()), z);
    }

    #[test]
    fn a_key_is_read_as_it_is_written_and_no_other_is_taken() {
        let key = SecretKey::from_bytes(&[7; 32]).public();
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, format!(r#"{{"kty":"OKP","crv":"X25519","x":"{key}"}}"#));
        let read = |json: &str| serde_json::from_str::<PublicKey>(json).ok();
        assert_eq!(read(&json.replace('}', r#","kid":"any"}"#)), Some(key.clone()));
        for other in [
            json.replace("OKP", "EC"),
            json.replace("X25519", "Ed25519"),
            json.replace(&key.to_string(), &base64url::encode(&[7; 31])),
            json.replace("\"x\"", "\"y\""),
            json.replace('}', r#","crv":"X25519"}"#),
            format!("[{json}]"),
        ] {
            assert_eq!(read(&other), None, "{other}");
        }
    }

    #[test]
    fn points_of_low_order_are_no_keys() {
        // Every encoding of them that 255 bits have, and one with the bit that is ignored.
        for hex in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert_eq!(PublicKey::from_bytes(&from_hex(hex)), Err(Error::PublicKey), "{hex}");
        }
        assert!(PublicKey::from_bytes(&from_hex(&format!("09{}", "00".repeat(31)))).is_ok());
    }

    #[test]
    fn a_private_key_is_never_printed() {
        assert_eq!(format!("{:?}", SecretKey::from_bytes(&[7; 32])), "SecretKey(..)");
        assert_eq!(*SecretKey::from_bytes(&[7; 32]).to_bytes(), [7; 32]);
    }

    fn from_hex(hex: &str) -> [u8; 32] {
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
    }
}
