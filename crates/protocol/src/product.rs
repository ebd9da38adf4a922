//! What is licensed, by a short name.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::Expected;

/// What is licensed: `[a-z0-9][a-z0-9._-]{0,63}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ProductCode(Box<str>);

impl ProductCode {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProductCode {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let valid = text.len() <= 64
            && text.as_bytes().first().is_some_and(alphanumeric)
            && text.as_bytes().iter().all(|byte| alphanumeric(byte) || b"._-".contains(byte));
        valid.then(|| Self(text.into())).ok_or(Expected("a product code: [a-z0-9][a-z0-9._-]{0,63}"))
    }
}

impl fmt::Display for ProductCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProductCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_code_is_as_described() {
        let longest = "a".repeat(64);
        for code in ["a", "0", "acme-render", "a.b_c-", longest.as_str()] {
            assert_eq!(code.parse::<ProductCode>().unwrap().to_string(), code);
        }
        let too_long = "a".repeat(65);
        for other in ["", ".a", "-a", "_a", "A", "a b", "a\n", "\u{fc}", too_long.as_str()] {
            assert!(other.parse::<ProductCode>().is_err(), "{other}");
        }
    }
}
