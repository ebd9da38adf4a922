//! What identifies a machine: components of which only digests leave it.

use jose_jwt::base64url;
use serde::{Deserialize, Deserializer, Serialize, de};
use sha2::{Digest, Sha256};

use crate::{Expected, ProductCode, json::Reader};

/// How many components a fingerprint has, at most.
pub const MAX_COMPONENTS: usize = 16;

const EXPECTED_NAME: Expected = Expected("a component's name: [a-z0-9_]{1,32}");
const EXPECTED_VALUE: Expected = Expected("base64url of 32 bytes");
const EXPECTED_COUNT: Expected = Expected("1 to 16 components");

/// 1 to 16 components, each a name and the base64url of a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Fingerprint(policy::Fingerprint);

impl Fingerprint {
    /// The fingerprint of these components; of two of one name, the later.
    pub fn new<N, V>(components: impl IntoIterator<Item = (N, V)>) -> Result<Self, Expected>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let pairs = components.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self::try_from(pairs.collect::<policy::Fingerprint>())
    }

    /// Reads a JSON object of components.
    #[must_use]
    pub fn read(reader: Reader<'_>) -> Option<Self> {
        let members = reader.members()?;
        if !(1..=MAX_COMPONENTS).contains(&members.len()) {
            return reader.fail(EXPECTED_COUNT.0);
        }
        let components: Vec<_> = members.map(|(name, value)| read_component(name, value)).collect();
        components.into_iter().collect::<Option<_>>().map(Self)
    }

    /// This fingerprint with another value of a component.
    pub fn with(&self, name: &str, value: &str) -> Result<Self, Expected> {
        Self::new(self.0.iter().chain([(name, value)]))
    }

    /// The components, for the policy engine.
    #[must_use]
    pub const fn as_policy(&self) -> &policy::Fingerprint {
        &self.0
    }

    /// The `name=value` lines, sorted by name, joined by LF.
    #[must_use]
    pub fn lines(&self) -> String {
        let lines: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.join("\n")
    }

    /// Reads what [`lines`](Self::lines) wrote, and nothing else.
    pub fn parse_lines(text: &str) -> Result<Self, Expected> {
        let components = text.split('\n').map(|line| line.split_once('=')).collect::<Option<Vec<_>>>();
        let fingerprint = Self::new(components.ok_or(Expected("lines of name=value"))?)?;
        if fingerprint.lines() == text { Ok(fingerprint) } else { Err(Expected("lines sorted by name")) }
    }

    /// The claim `fpd`: base64url of the SHA-256 of the [`lines`](Self::lines).
    #[must_use]
    pub fn fpd(&self) -> String {
        base64url::encode(&Sha256::digest(self.lines()))
    }
}

/// The value of a component, from what only the machine itself knows: SHA-256 of
/// `product-code LF component-name LF raw-value`, as base64url.
#[must_use]
pub fn digest(product: &ProductCode, name: &str, raw: &str) -> String {
    base64url::encode(&Sha256::digest(format!("{product}\n{name}\n{raw}")))
}

fn read_component(name: &str, value: Reader<'_>) -> Option<(String, String)> {
    if let Err(Expected(what)) = check_name(name) {
        return value.fail(what);
    }
    let text = value.string()?;
    match check_value(text) {
        Ok(()) => Some((name.to_owned(), text.to_owned())),
        Err(Expected(what)) => value.fail(what),
    }
}

/// Checks a component's name: `[a-z0-9_]{1,32}`.
pub fn check_name(name: &str) -> Result<(), Expected> {
    let valid = (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if valid { Ok(()) } else { Err(EXPECTED_NAME) }
}

fn check_value(value: &str) -> Result<(), Expected> {
    base64url::decode_array::<32>(value).map_or(Err(EXPECTED_VALUE), |_| Ok(()))
}

impl TryFrom<policy::Fingerprint> for Fingerprint {
    type Error = Expected;

    fn try_from(components: policy::Fingerprint) -> Result<Self, Expected> {
        if !(1..=MAX_COMPONENTS).contains(&components.len()) {
            return Err(EXPECTED_COUNT);
        }
        for (name, value) in components.iter() {
            check_name(name)?;
            check_value(value)?;
        }
        Ok(Self(components))
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        policy::Fingerprint::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json;

    const VALUE: &str = "aZg_ksMnnLv6t_AcpsEgXaP99StljQkJG6lZhqA5t0w";

    fn numbered(count: usize) -> Vec<(String, &'static str)> {
        (0..count).map(|number| (format!("c{number}"), VALUE)).collect()
    }

    #[test]
    fn a_fingerprint_has_1_to_16_components() {
        for (count, valid) in [(0, false), (1, true), (16, true), (17, false)] {
            assert_eq!(Fingerprint::new(numbered(count)).is_ok(), valid, "{count}");
            let members: Vec<_> =
                numbered(count).iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
            let text = format!("{{{}}}", members.join(","));
            let found = json::read(&json::parse(text.as_bytes()).unwrap(), Fingerprint::read);
            assert_eq!(found.is_ok(), valid, "{count}");
            assert_eq!(serde_json::from_str::<Fingerprint>(&text).is_ok(), valid, "{count}");
        }
    }

    #[test]
    fn names_and_values_are_as_described() {
        let longest = "a".repeat(32);
        for name in ["a", "0", "_", longest.as_str()] {
            assert!(Fingerprint::new([(name, VALUE)]).is_ok(), "{name}");
        }
        let too_long = "a".repeat(33);
        for name in ["", "A", "a-b", "a=b", "a\n", "é", too_long.as_str()] {
            assert!(Fingerprint::new([(name, VALUE)]).is_err(), "{name}");
        }
        let padded = format!("{VALUE}=");
        for value in ["", "aZg", &VALUE[1..], padded.as_str(), "aZg_ksMnnLv6t_AcpsEgXaP99StljQkJG6lZhqA5t0x"]
        {
            assert!(Fingerprint::new([("a", value)]).is_err(), "{value}");
        }
    }

    #[test]
    fn every_wrong_component_is_pointed_at() {
        let text = format!(r#"{{"ok":"{VALUE}","Bad":"{VALUE}","short":"aZg","number":7}}"#);
        let errors = json::read(&json::parse(text.as_bytes()).unwrap(), Fingerprint::read).unwrap_err();
        let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/Bad", "/short", "/number"]);
    }

    #[test]
    fn a_component_is_set_in_a_copy() {
        let one = Fingerprint::new([("a", VALUE)]).unwrap();
        let other = base64url::encode(&[0; 32]);
        assert_eq!(one.with("a", &other).unwrap().lines(), format!("a={other}"));
        assert_eq!(one.with("b", &other).unwrap().as_policy().len(), 2);
        assert!(one.with("a", "not a digest").is_err());
    }

    #[test]
    fn lines_are_sorted_and_read_back_only_so() {
        let fingerprint = Fingerprint::new([("b", VALUE), ("a_", VALUE), ("a", VALUE)]).unwrap();
        let lines = fingerprint.lines();
        assert_eq!(lines, format!("a={VALUE}\na_={VALUE}\nb={VALUE}"));
        assert_eq!(Fingerprint::parse_lines(&lines), Ok(fingerprint));
        for other in [
            String::new(),
            format!("{lines}\n"),
            format!("\n{lines}"),
            format!("b={VALUE}\na={VALUE}"),
            format!("a={VALUE}\na={VALUE}"),
            format!("a={VALUE}\r\nb={VALUE}"),
            format!("a:{VALUE}"),
        ] {
            assert!(Fingerprint::parse_lines(&other).is_err(), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_reads_prints_back(text in "([a-z0-9_]{1,3}=[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]\n?){0,4}|\\PC*") {
            if let Ok(read) = Fingerprint::parse_lines(&text) {
                prop_assert_eq!(read.lines(), text);
                let json = serde_json::to_string(&read).unwrap();
                prop_assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), read);
            }
        }
    }
}
