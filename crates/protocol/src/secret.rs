//! What an install and the server share.

use std::{borrow::Cow, fmt, str::FromStr};

use jose_jwt::base64url;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    Expected,
    ambient::{self, Random},
};

/// An install's secret: 32 random bytes that only the agent and the server hold.
///
/// Wiped when dropped, compared in constant time, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new secret.
    #[must_use]
    pub fn random(random: &(impl Random + ?Sized)) -> Self {
        Self(ambient::array(random))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The secret as it goes over the wire: base64url.
    #[must_use]
    pub fn spelled(&self) -> Zeroizing<String> {
        Zeroizing::new(base64url::encode(&self.0))
    }
}

impl FromStr for Secret {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        base64url::decode_array(text).map(Self).map_err(|_| Expected("base64url of 32 bytes"))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.spelled())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        let secret = text.parse().map_err(de::Error::custom);
        if let Cow::Owned(mut text) = text {
            text.zeroize();
        }
        secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_spelled_one_way_and_never_printed() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let secret: Secret = text.parse().unwrap();
        assert_eq!(*secret.spelled(), text);
        assert_eq!(serde_json::to_string(&secret).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Secret>(&format!("\"{text}\"")).unwrap(), secret);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_ne!(secret, Secret::from_bytes([0; 32]));
        assert!("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9".parse::<Secret>().is_err());
        let refusal = "not a secret".parse::<Secret>().unwrap_err().to_string();
        assert_eq!(refusal, "expected base64url of 32 bytes");
    }
}
