//! What tells attempts, and processes, apart.

use std::{borrow::Cow, fmt, str::FromStr};

use jose_jwt::base64url;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Expected;

/// 16 to 32 random bytes, fresh in every attempt, retries too.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce {
    length: u8,
    // INVARIANT(nonce-padding): zero beyond `length`, so that equal nonces are equal structs.
    bytes: [u8; Self::MAX_LENGTH],
}

impl Nonce {
    const MIN_LENGTH: usize = 16;
    const MAX_LENGTH: usize = 32;

    /// The nonce of these bytes, 16 to 32 of them.
    pub fn from_bytes(slice: &[u8]) -> Result<Self, Expected> {
        let length = u8::try_from(slice.len()).unwrap_or(u8::MAX);
        if !(Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&usize::from(length)) {
            return Err(Expected("base64url of 16 to 32 bytes"));
        }
        let mut bytes = [0; Self::MAX_LENGTH];
        bytes[..slice.len()].copy_from_slice(slice);
        Ok(Self { length, bytes })
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl FromStr for Nonce {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        // What can't be decoded is as wrong as what has no bytes.
        Self::from_bytes(&base64url::decode(text).unwrap_or_default())
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base64url::encode(self.as_bytes()))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({self})")
    }
}

/// 16 random bytes that a process makes when it starts; they tell processes apart for people and decide nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceId([u8; 16]);

impl InstanceId {
    /// The instance of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        base64url::decode_array(text).map(Self).map_err(|_| Expected("base64url of 16 bytes"))
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base64url::encode(&self.0))
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceId({self})")
    }
}

macro_rules! serde_as_text {
    ($($name:ident)+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&base64url::encode(self.as_bytes()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

serde_as_text! { Nonce InstanceId }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_has_16_to_32_bytes_in_one_spelling() {
        for length in 16..=32 {
            let nonce = Nonce::from_bytes(&vec![0xa5; length]).unwrap();
            assert_eq!(nonce.to_string().parse::<Nonce>().unwrap(), nonce);
            assert_eq!(nonce.as_bytes().len(), length);
        }
        for length in [0, 15, 33, 255, 256, 272] {
            assert!(Nonce::from_bytes(&vec![0xa5; length]).is_err(), "{length}");
            assert!(base64url::encode(&vec![0xa5; length]).parse::<Nonce>().is_err(), "{length}");
        }
        let padded = "AAAAAAAAAAAAAAAAAAAAAA==";
        let with_stray_bits = "AAAAAAAAAAAAAAAAAAAAAB";
        let of_the_other_alphabet = "AAAAAAAAAAAAAAAAAAAA+A/A";
        let with_white_space = "AAAAAAAAAAAAAAAAAAAAAA ";
        for other in [padded, with_stray_bits, of_the_other_alphabet, with_white_space] {
            assert!(other.parse::<Nonce>().is_err(), "{other}");
        }
    }

    #[test]
    fn an_instance_has_16_bytes() {
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAA".parse(), Ok(InstanceId::from_bytes([0; 16])));
        for other in ["", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAA"] {
            assert!(other.parse::<InstanceId>().is_err(), "{other}");
        }
    }

    #[test]
    fn nonces_of_different_lengths_differ() {
        assert_ne!(Nonce::from_bytes(&[0; 16]), Nonce::from_bytes(&[0; 17]));
    }
}
