//! Versions by Semantic Versioning 2.0, compared without any bound on their numbers.

use std::cmp::Ordering;

/// Whether a text is a version by Semantic Versioning 2.0.
pub fn is_semver(text: &str) -> bool {
    Version::parse(text).is_some()
}

/// Whether `version` is older than `least`. An unreadable one, on either side, is older than nothing.
pub(crate) fn is_older(version: &str, least: &str) -> bool {
    match (Version::parse(version), Version::parse(least)) {
        (Some(version), Some(least)) => version.cmp(&least).is_lt(),
        _ => false,
    }
}

/// A version's parts as they stand in its text. Build metadata is of no account.
struct Version<'a> {
    core: [Number<'a>; 3],
    pre_release: Option<&'a str>,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (text, build) = split(text, '+');
        let (core, pre_release) = split(text, '-');
        let mut core = core.split('.').map(Number::parse);
        let version = Self { core: [core.next()??, core.next()??, core.next()??], pre_release };
        let is_version = core.next().is_none()
            && identifiers(pre_release).all(|identifier| identifier.is_some())
            && build.is_none_or(|build| build.split('.').all(is_word));
        is_version.then_some(version)
    }

    fn cmp(&self, other: &Self) -> Ordering {
        // A pre-release comes before its release; of two that begin alike the longer one comes later.
        self.core
            .cmp(&other.core)
            .then_with(|| self.pre_release.is_none().cmp(&other.pre_release.is_none()))
            .then_with(|| identifiers(self.pre_release).cmp(identifiers(other.pre_release)))
    }
}

/// Digits without a leading zero; so the longer number is the greater one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Number<'a> {
    length: usize,
    digits: &'a str,
}

impl<'a> Number<'a> {
    fn parse(digits: &'a str) -> Option<Self> {
        let is_number = is_digits(digits) && (digits == "0" || !digits.starts_with('0'));
        is_number.then_some(Self { length: digits.len(), digits })
    }
}

/// A part of a pre-release; numbers come before words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'a> {
    Number(Number<'a>),
    Word(&'a str),
}

/// The identifiers of a pre-release, if there is one; none in the place of each that isn't one.
fn identifiers(pre_release: Option<&str>) -> impl Iterator<Item = Option<Identifier<'_>>> {
    pre_release.into_iter().flat_map(|text| text.split('.')).map(|text| {
        if is_digits(text) {
            Number::parse(text).map(Identifier::Number)
        } else {
            is_word(text).then_some(Identifier::Word(text))
        }
    })
}

/// What stands before the first `separator`, and after it if it is there.
fn split(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{is_older, is_semver};

    #[test]
    fn the_order_is_the_specifications() {
        let order = [
            "0.9.9",
            "1.0.0-0",
            "1.0.0-9",
            "1.0.0-10",
            "1.0.0--",
            "1.0.0-1a",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2.0.0",
            "18446744073709551616.0.0",
            "99999999999999999999999.0.0",
        ];
        for (place, older) in order.iter().enumerate() {
            for newer in &order[place + 1..] {
                assert!(is_older(older, newer) && !is_older(newer, older), "{older} < {newer}");
            }
            assert!(!is_older(older, older));
        }
    }

    #[test]
    fn build_metadata_is_of_no_account() {
        assert!(
            !is_older("1.0.0+a", "1.0.0+b") && !is_older("1.0.0+b", "1.0.0") && is_semver("1.0.0-a+b.00.-")
        );
    }

    #[test]
    fn what_is_no_version_is_older_than_nothing() {
        for text in [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "v1.0.0",
            "01.0.0",
            "1.00.0",
            "1.0.01",
            "1.0.0-",
            "1.0.0-01",
            "1.0.0-a..b",
            "1.0.0+",
            "1.0.0+a..b",
            "1.0.0-ä",
            "1.0.0+ä",
            "1.0.a",
            "1.0.0+a+b",
            " 1.0.0",
            "-1.0.0",
            "1.0.0-a_b",
        ] {
            assert!(!is_semver(text), "{text}");
            assert!(!is_older(text, "9.9.9") && !is_older("0.0.0-0", text), "{text}");
        }
    }
}
