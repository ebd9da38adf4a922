use std::{
    cell::RefCell,
    fmt::{self, Display},
    ops::RangeInclusive,
    str::FromStr,
};

use super::{Json, Value};
use crate::{Expected, problem::FieldError};

/// More faults of one document are not listed.
const MAX_ERRORS: usize = 64;

/// Reads a document: all that is wrong with it, or what `body` made of it.
///
/// `body` gives `None` only where a reader it asked did.
pub fn read<T>(json: &Json<'_>, body: impl FnOnce(Reader<'_>) -> Option<T>) -> Result<T, Vec<FieldError>> {
    let errors = RefCell::default();
    let read = body(Reader { json: Some(json), path: Path::Root, errors: &errors });
    match (read, errors.into_inner()) {
        (Some(value), errors) if errors.is_empty() => Ok(value),
        (_, errors) => Err(errors),
    }
}

/// The way to a place in a document, spelled out only if something is wrong there.
#[derive(Clone, Copy)]
enum Path<'r> {
    Root,
    Member(&'r Path<'r>, &'r str),
    Element(&'r Path<'r>, usize),
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(parent, name) => {
                write!(f, "{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
            }
            Self::Element(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

/// A place in a document, where a value is or is missing.
///
/// What reads it gives `None` after noting what is wrong, so that a caller can go on and find the rest.
#[derive(Clone, Copy)]
pub struct Reader<'r> {
    json: Option<&'r Json<'r>>,
    path: Path<'r>,
    errors: &'r RefCell<Vec<FieldError>>,
}

impl<'r> Reader<'r> {
    /// The member of this name; missing where this isn't an object, too.
    #[must_use]
    pub fn member(&'r self, name: &'r str) -> Reader<'r> {
        let found = match self.json.map(|json| &json.value) {
            Some(Value::Object(members)) => members.iter().find(|(own, _)| own == name).map(|(_, json)| json),
            _ => None,
        };
        Reader { json: found, path: Path::Member(&self.path, name), errors: self.errors }
    }

    /// Every member of an object, with its name.
    #[must_use]
    pub fn members(&'r self) -> Option<impl ExactSizeIterator<Item = (&'r str, Reader<'r>)>> {
        let (Some(Value::Object(members)), errors) = (self.json.map(|json| &json.value), self.errors) else {
            return self.fail("an object");
        };
        Some(members.iter().map(move |(name, json)| {
            (&**name, Reader { json: Some(json), path: Path::Member(&self.path, name), errors })
        }))
    }

    /// Every element of an array.
    #[must_use]
    pub fn elements(&'r self) -> Option<impl ExactSizeIterator<Item = Reader<'r>>> {
        let (Some(Value::Array(elements)), errors) = (self.json.map(|json| &json.value), self.errors) else {
            return self.fail("an array");
        };
        Some(elements.iter().enumerate().map(move |(index, json)| Reader {
            json: Some(json),
            path: Path::Element(&self.path, index),
            errors,
        }))
    }

    /// Reads this unless it is missing.
    pub fn or_missing<T>(self, read: impl FnOnce(Self) -> Option<T>) -> Option<Option<T>> {
        if self.json.is_none() { Some(None) } else { read(self).map(Some) }
    }

    /// Reads this unless it is `null`.
    pub fn or_null<T>(self, read: impl FnOnce(Self) -> Option<T>) -> Option<Option<T>> {
        if self.is_null() { Some(None) } else { read(self).map(Some) }
    }

    /// Whether nothing is here.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        self.json.is_none()
    }

    /// Whether a `null` is here.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.json, Some(Json { value: Value::Null, .. }))
    }

    /// Whatever is here.
    #[must_use]
    pub fn any(&self) -> Option<&'r Json<'r>> {
        self.json.or_else(|| self.fail("a value"))
    }

    /// Checks that an object is here, and gives it.
    #[must_use]
    pub fn object(&self) -> Option<&'r Json<'r>> {
        match self.json {
            Some(json @ Json { value: Value::Object(_), .. }) => Some(json),
            _ => self.fail("an object"),
        }
    }

    /// Reads `true` or `false`.
    #[must_use]
    pub fn boolean(&self) -> Option<bool> {
        match self.json {
            Some(Json { value: Value::Bool(value), .. }) => Some(*value),
            _ => self.fail("true or false"),
        }
    }

    /// Reads an integer in a range, written without fraction and exponent.
    #[must_use]
    pub fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        match self.json {
            Some(Json { value: Value::Number, text }) => {
                text.parse().ok().filter(|value| range.contains(value))
            }
            _ => None,
        }
        .or_else(|| self.fail(format_args!("an integer, {} to {}", range.start(), range.end())))
    }

    /// Reads a string, whatever stands in it.
    #[must_use]
    pub fn string(&self) -> Option<&'r str> {
        match self.json {
            Some(Json { value: Value::String(text), .. }) => Some(text),
            _ => self.fail("a string"),
        }
    }

    /// Reads a string whose length in Unicode code points is in a range. U+0000 is refused: no database text
    /// can hold it.
    #[must_use]
    pub fn text(&self, characters: RangeInclusive<usize>) -> Option<&'r str> {
        match self.json {
            Some(Json { value: Value::String(text), .. }) => Some(&**text)
                .filter(|text| characters.contains(&text.chars().count()) && !text.contains('\0')),
            _ => None,
        }
        .or_else(|| {
            let (least, most) = (characters.start(), characters.end());
            self.fail(format_args!("a string of {least} to {most} characters, none of them U+0000"))
        })
    }

    /// Reads a string that spells a `T`.
    #[must_use]
    pub fn parse<T: FromStr<Err = Expected>>(&self) -> Option<T> {
        self.string()?.parse().map_or_else(|Expected(what)| self.fail(what), Some)
    }

    /// Notes that something else is here than was expected.
    pub fn fail<T>(&self, expected: impl Display) -> Option<T> {
        let mut errors = self.errors.borrow_mut();
        if errors.len() < MAX_ERRORS {
            let missing = if self.json.is_none() { "is missing; " } else { "" };
            errors.push(FieldError {
                pointer: self.path.to_string(),
                detail: format!("{missing}expected {expected}"),
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counter, json::parse};

    fn faults<T: std::fmt::Debug>(
        text: &str,
        body: impl FnOnce(Reader<'_>) -> Option<T>,
    ) -> Vec<(String, String)> {
        let errors = read(&parse(text.as_bytes()).unwrap(), body).unwrap_err();
        errors.into_iter().map(|error| (error.pointer, error.detail)).collect()
    }

    #[test]
    fn all_faults_are_found_each_with_its_pointer() {
        let found = faults(r#"{"a":"x","c":{"d/e~f":null,"g":[1,true]}}"#, |root| {
            let number = root.member("a").integer(0..=9);
            let missing = root.member("b").string();
            let inner = root.member("c");
            let escaped = inner.member("d/e~f").boolean();
            let array = inner.member("g");
            let elements: Vec<_> = array.elements()?.map(|one| one.boolean()).collect();
            Some((number?, missing?.to_owned(), escaped?, elements))
        });
        let expected = [
            ("/a", "expected an integer, 0 to 9"),
            ("/b", "is missing; expected a string"),
            ("/c/d~1e~0f", "expected true or false"),
            ("/c/g/0", "expected true or false"),
        ];
        assert_eq!(found, expected.map(|(pointer, detail)| (pointer.to_owned(), detail.to_owned())));
    }

    #[test]
    fn the_whole_document_has_the_empty_pointer() {
        for text in ["[]", "null", "1", "\"\""] {
            let found = faults(text, |root| root.object().map(|_| ()));
            assert_eq!(found, [(String::new(), "expected an object".to_owned())]);
        }
    }

    #[test]
    fn an_integer_is_written_without_fraction_and_exponent() {
        let integer = |text: &str| read(&parse(text.as_bytes()).unwrap(), |root| root.integer(-5..=5));
        assert_eq!(
            ["-5", "-0", "0", "5"].map(|text| integer(text).ok()),
            [Some(-5), Some(0), Some(0), Some(5)]
        );
        for text in [
            "-6",
            "6",
            "1.0",
            "1e0",
            "10e-1",
            "1e999",
            "99999999999999999999",
            "\"1\"",
            "true",
            "null",
            "[1]",
        ] {
            assert!(integer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn characters_are_code_points() {
        let text = |text: &str| {
            read(&parse(text.as_bytes()).unwrap(), |root| root.text(1..=2).map(str::to_owned)).ok()
        };
        assert_eq!(text("\"😀é\"").as_deref(), Some("😀é"));
        for other in ["\"\"", "\"abc\"", "\"e\u{301}e\"", "\"\\u0000\"", "1", "null"] {
            assert_eq!(text(other), None, "{other}");
        }
    }

    #[test]
    fn missing_and_null_are_two_things() {
        let json = parse(br#"{"null":null,"one":1}"#).unwrap();
        let one = |reader: Reader<'_>| reader.integer(1..=1);
        read(&json, |root| {
            assert_eq!(root.member("one").or_null(one), Some(Some(1)));
            assert_eq!(root.member("null").or_null(one), Some(None));
            assert_eq!(root.member("none").or_null(one), None);
            assert_eq!(root.member("one").or_missing(one), Some(Some(1)));
            assert_eq!(root.member("none").or_missing(one), Some(None));
            assert_eq!(root.member("null").or_missing(one), None);
            assert!(root.member("none").is_missing() && !root.member("null").is_missing());
            assert_eq!(root.member("one").any().map(|json| json.text), Some("1"));
            Some(())
        })
        .unwrap_err();
    }

    #[test]
    fn an_error_never_repeats_what_came() {
        let found = faults(r#"{"a":"marker-7f3a"}"#, |root| root.member("a").parse::<Counter>());
        assert!(!format!("{found:?}").contains("marker"));
    }

    #[test]
    fn the_list_of_faults_is_bounded() {
        let many = format!("[{}]", vec!["1"; 5_000].join(","));
        let found = faults(&many, |root| {
            root.elements()?.map(|one| one.string().map(str::len)).collect::<Option<Vec<_>>>()
        });
        assert_eq!(found.len(), 1, "a caller that stops is not driven on");
        let found = faults(&many, |root| {
            let read: Vec<_> = root.elements()?.map(|one| one.boolean()).collect();
            read.into_iter().collect::<Option<Vec<_>>>()
        });
        assert_eq!(found.len(), MAX_ERRORS);
    }
}
