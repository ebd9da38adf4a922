//! The protected header (RFC 7515 section 4): how it is written, and how it is read strictly.

use std::{collections::BTreeMap, fmt};

use serde::{
    Serialize,
    de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{Error, base64url};

/// The first part of a compact serialization. The members stand in the order in which the type declares them.
pub(crate) fn encode(members: &impl Serialize) -> String {
    base64url::encode(&serde_json::to_vec(members).expect("a struct of texts is always JSON"))
}

/// The members of a header, each once. Unknown ones are kept unread, as RFC 7515 section 4 wants them ignored.
struct Members(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;

        impl<'de> Visitor<'de> for Unique {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Unique)
    }
}

/// A header that names neither a critical extension nor a member twice.
pub(crate) struct Header(Members);

impl Header {
    /// Reads the first part of a compact serialization.
    pub(crate) fn parse(encoded: &str) -> Result<Self, Error> {
        let json = base64url::decode(encoded)?;
        let header = Self(serde_json::from_slice(&json).map_err(|_| Error::Header)?);
        if header.has("crit") { Err(Error::Critical) } else { Ok(header) }
    }

    /// Whether there is such a member, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.0.contains_key(name)
    }

    /// The member's text; [`Error::Header`] if it is missing or isn't text.
    pub(crate) fn text(&self, name: &str) -> Result<String, Error> {
        self.read(name)
    }

    /// The member's value; [`Error::Header`] if it is missing or isn't a `T`.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let value = self.0.0.get(name).ok_or(Error::Header)?;
        serde_json::from_str(value.get()).map_err(|_| Error::Header)
    }

    /// Refuses a header whose member `name` (`alg` or `enc`) isn't exactly `value`.
    pub(crate) fn expect_algorithm(&self, name: &str, value: &str) -> Result<(), Error> {
        if self.text(name)? == value { Ok(()) } else { Err(Error::Algorithm) }
    }
}
