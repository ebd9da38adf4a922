//! JSON as the readers of lines and of knobs need it: objects by member, numbers as the text that they are.
//!
//! Every `&str` here that is a value's text has been through the JSON parser: one value, without white space around it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{CloneAction, Fault, MinMatch};

/// An object's members in their order, as often as they stand there: names, and values' texts.
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Members<'a> {
    /// Reads an object from a text that need not be JSON at all.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Fault> {
        serde_json::from_str(text).map_err(|error| Fault::new(format!("has to be a JSON object: {error}")))
    }

    /// Reads a member, if it is there.
    pub(crate) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a str) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let mut found = self.0.iter().filter(|member| member.0 == name);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(Fault::new("stands there twice").within(name)),
            (Some((_, text)), None) => read(text).map(Some).map_err(|fault| fault.within(name)),
            (None, _) => Ok(None),
        }
    }

    /// Reads a member.
    pub(crate) fn required<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a str) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.optional(name, read)?.ok_or_else(|| Fault::new("is missing").within(name))
    }
}

impl<'a> IntoIterator for Members<'a> {
    type Item = (Cow<'a, str>, &'a str);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                // As many as facts have; a longer list grows.
                let mut members = Vec::with_capacity(16);
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A member's name: borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads an object whose members are all of one kind.
pub(crate) fn entries<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, Fault>,
) -> Result<BTreeMap<String, T>, Fault> {
    let mut entries = BTreeMap::new();
    for (name, text) in Members::parse(text)? {
        let value = read(text).map_err(|fault| fault.within(&name))?;
        if entries.contains_key(name.as_ref()) {
            return Err(Fault::new("stands there twice").within(&name));
        }
        entries.insert(name.into_owned(), value);
    }
    Ok(entries)
}

/// `true` or `false`.
pub(crate) fn boolean(text: &str) -> Result<bool, Fault> {
    text.parse().map_err(|_| Fault::new("has to be true or false"))
}

/// A number written as an integer: no fraction, no exponent.
pub(crate) fn integer<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Fn(&str) -> Result<T, Fault> {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            Fault::new(format!("has to be an integer from {} to {}", range.start(), range.end()))
        })
    }
}

/// A string's text.
pub(crate) fn string(text: &str) -> Result<Cow<'_, str>, Fault> {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        _ => serde_json::from_str(text).map(Cow::Owned).map_err(|_| Fault::new("has to be a string")),
    }
}

/// What `read` reads, or null.
pub(crate) fn nullable<'a, T>(
    read: impl Fn(&'a str) -> Result<T, Fault>,
) -> impl Fn(&'a str) -> Result<Option<T>, Fault> {
    move |text| match text {
        "null" => Ok(None),
        _ => read(text).map(Some).map_err(|fault| Fault {
            // Only what is wrong with the value itself could have been null instead.
            detail: if fault.pointer.is_empty() { fault.detail + ", or null" } else { fault.detail },
            pointer: fault.pointer,
        }),
    }
}

/// The knob `min_match`.
pub(crate) fn min_match(text: &str) -> Result<MinMatch, Fault> {
    MinMatch::parse(text)
        .ok_or_else(|| Fault::new("has to be a number from 0 to 1 with at most three decimals"))
}

/// The knob `clone_action`.
pub(crate) fn clone_action(text: &str) -> Result<CloneAction, Fault> {
    let action = string(text).ok().and_then(|name| name.parse().ok());
    action.ok_or_else(|| Fault::new("has to be \"quarantine\", \"warn\" or \"ignore\""))
}
