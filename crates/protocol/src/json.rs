//! JSON from outside, read strictly (RFC 8259): UTF-8 without a byte order mark, no member twice, at most 32
//! deep, nothing after the value. And a [`Reader`] that finds everything that is wrong with a document, and the one
//! canonical text of a value (RFC 8785).

mod canonical;
mod parser;
mod reader;

use std::borrow::Cow;

use serde::de::DeserializeOwned;

pub use parser::{MAX_DEPTH, parse};
pub use reader::{Reader, read};

/// A JSON value and the text that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Json<'a> {
    /// The value's own text, without white space around it.
    pub text: &'a str,
    /// The value.
    pub value: Value<'a>,
}

/// What a JSON value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, which its text says: no digit is lost and none overflows.
    Number,
    /// A string, its escapes resolved.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object: its members in their order, no name twice.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Why bytes aren't a JSON text that is taken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not UTF-8.
    #[error("body is not UTF-8")]
    Utf8,
    /// Not JSON; half of a surrogate pair, too, is no character.
    #[error("body is not JSON, from byte {0} on")]
    Syntax(usize),
    /// One object has two members of one name, however they are spelled.
    #[error("a member stands twice in an object that begins at byte {0}")]
    Duplicate(usize),
    /// Arrays and objects within one another, more than 32 deep.
    #[error("nested deeper than {MAX_DEPTH}, at byte {0}")]
    TooDeep(usize),
}

/// Reads an object as serde reads it, and strictly: serde itself takes unknown members twice, however deep, and arrays
/// for structs. What is wrong isn't told: this is for what is taken as a whole or not at all.
#[must_use]
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    matches!(parse(bytes).ok()?.value, Value::Object(_)).then_some(())?;
    serde_json::from_slice(bytes).ok()
}
