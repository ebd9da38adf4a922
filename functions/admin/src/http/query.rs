//! What stands in a request's query: every parameter known, once, and as described, or 422 with its pointer.

use std::borrow::Cow;
use std::cell::RefCell;
use std::str::FromStr;

use edge::Refusal;
use jose_jwt::base64url;
use protocol::admin::parse_time;
use protocol::problem::FieldError;

use super::route::{Kind, Parameter, Route};

/// The parameters of every list.
pub(super) const PAGE: [Parameter; 2] = [
    Parameter {
        name: "limit",
        kind: Kind::Number(1, 200),
        about: "At most so many; 50 where it is left out",
    },
    Parameter { name: "cursor", kind: Kind::Text, about: "Goes on after a page: its `next_cursor`" },
];

/// How many items a page has where nothing is said.
const LIMIT: i64 = 50;

/// A request's query, its names checked, its values yet to be read.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    errors: RefCell<Vec<FieldError>>,
}

/// What is asked for of a list: where it goes on, and how far.
#[derive(Debug)]
pub(crate) struct Asked<T> {
    pub(crate) after: Option<T>,
    pub(crate) limit: i64,
}

impl Query {
    /// Takes a query apart.
    ///
    /// # Errors
    /// 422 that names what the route doesn't take, or what stands there twice.
    pub(super) fn read(text: &str, route: &Route) -> Result<Self, Refusal> {
        let mut query = Self { pairs: Vec::new(), errors: RefCell::default() };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                query.fail(name, "is not percent-encoded UTF-8");
                continue;
            };
            if !route.takes_parameter(&name) {
                query.fail(&name, "is not a parameter of this route");
            } else if query.text(&name).is_some() {
                query.fail(&name, "stands there twice");
            } else {
                query.pairs.push((name.into_owned(), value.into_owned()));
            }
        }
        query.finish()?;
        Ok(query)
    }

    /// # Errors
    /// 422 with everything that is wrong.
    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        let errors = self.errors.take();
        if errors.is_empty() { Ok(()) } else { Err(Refusal::invalid_query(errors)) }
    }

    fn fail(&self, name: &str, detail: &str) {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        self.errors.borrow_mut().push(FieldError { pointer, detail: detail.to_owned() });
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn read_as<T>(&self, name: &str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = read(text);
        if value.is_none() {
            self.fail(name, &format!("expected {expected}"));
        }
        value
    }

    /// An id, a code, a word: whatever a type reads.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str, expected: &str) -> Option<T> {
        self.read_as(name, expected, |text| text.parse().ok())
    }

    /// An instant, Unix seconds.
    pub(crate) fn time(&self, name: &str) -> Option<i64> {
        self.read_as(name, "a time of RFC 3339", parse_time)
    }

    /// A text of 1 to 200 characters.
    pub(crate) fn short_text(&self, name: &str) -> Option<String> {
        let fits = |text: &str| (1..=200).contains(&text.chars().count()) && !text.contains('\0');
        self.read_as(name, "1 to 200 characters", |text| fits(text).then(|| text.to_owned()))
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str, least: i64, most: i64) -> Option<i64> {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|number| digits && (least..=most).contains(number))
        };
        self.read_as(name, &format!("a whole number from {least} to {most}"), number)
    }

    /// One of some words.
    pub(crate) fn word(&self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let read = |text: &str| words.iter().copied().find(|word| *word == text);
        self.read_as(name, &format!("one of {}", words.join(", ")), read)
    }

    /// What is searched for.
    pub(crate) fn words(&self, name: &str) -> Option<store::Words> {
        self.short_text(name).map(|text| store::Words::parse(&text))
    }

    /// Where a list goes on, and how far.
    pub(crate) fn page<T: Cursor>(&self) -> Asked<T> {
        let limit = self.number("limit", 1, 200).unwrap_or(LIMIT);
        Asked { after: self.cursor(), limit }
    }

    /// Where what was answered in part goes on.
    pub(crate) fn cursor<T: Cursor>(&self) -> Option<T> {
        let read = |text: &str| base64url::decode(text).ok().and_then(|bytes| T::from_cursor(&bytes));
        self.read_as("cursor", "a page's next_cursor", read)
    }
}

/// Where in a list something stands. What a cursor says is nobody's business but the list's.
pub(crate) trait Cursor: Sized {
    /// The bytes of a cursor.
    fn to_cursor(&self) -> Vec<u8>;
    /// What they say.
    fn from_cursor(bytes: &[u8]) -> Option<Self>;

    /// The cursor as it is told.
    fn told(&self) -> String {
        base64url::encode(&self.to_cursor())
    }
}

impl Cursor for i64 {
    fn to_cursor(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_cursor(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_be_bytes(bytes.try_into().ok()?))
    }
}

macro_rules! by_id {
    ($($id:ty),*) => {$(
        impl Cursor for $id {
            fn to_cursor(&self) -> Vec<u8> {
                self.as_uuid().as_bytes().to_vec()
            }

            fn from_cursor(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_uuid(uuid::Uuid::from_slice(bytes).ok()?))
            }
        }
    )*};
}
by_id!(
    protocol::UserId,
    protocol::ApiKeyId,
    protocol::LicenseId,
    protocol::InstallId,
    protocol::LeaseId,
    protocol::WebhookId,
    protocol::DeliveryId
);

impl Cursor for i32 {
    fn to_cursor(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_cursor(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// By a name, which is its own.
impl Cursor for String {
    fn to_cursor(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_cursor(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok().filter(|name| !name.is_empty() && !name.contains('\0'))
    }
}

/// By time, and by id where times are equal.
impl Cursor for (i64, uuid::Uuid) {
    fn to_cursor(&self) -> Vec<u8> {
        [self.0.to_cursor().as_slice(), self.1.as_bytes()].concat()
    }

    fn from_cursor(bytes: &[u8]) -> Option<Self> {
        let (at, id) = bytes.split_first_chunk::<8>()?;
        // Only times that the database can hold.
        let at = i64::from_be_bytes(*at);
        (0..=253_402_300_799)
            .contains(&at)
            .then(|| uuid::Uuid::from_slice(id).ok())
            .flatten()
            .map(|id| (at, id))
    }
}

/// By id, and the instant that all parts judge.
impl Cursor for (i64, protocol::InstallId) {
    fn to_cursor(&self) -> Vec<u8> {
        (self.0, *self.1.as_uuid()).to_cursor()
    }

    fn from_cursor(bytes: &[u8]) -> Option<Self> {
        let (at, id) = <(i64, uuid::Uuid)>::from_cursor(bytes)?;
        Some((at, protocol::InstallId::from_uuid(id)))
    }
}

/// `application/x-www-form-urlencoded`: a plus is a space.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                // The standard library's reader takes a sign, too.
                let digits =
                    str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::{Cursor, decode};

    #[test]
    fn queries_are_decoded_as_forms_are() {
        for (text, decoded) in [
            ("plain", Some("plain")),
            ("a+b%20c", Some("a b c")),
            ("%C3%A9", Some("\u{e9}")),
            ("%", None),
            ("%4", None),
            ("%+f", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_told() {
        for place in [0, 1, i64::MAX] {
            assert_eq!(i64::from_cursor(&place.to_cursor()), Some(place));
        }
        assert_eq!(i64::from_cursor(b"short"), None);
    }
}
