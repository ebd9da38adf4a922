//! Times as people and scripts read them: RFC 3339, in UTC.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::json::Reader;

/// An instant, Unix seconds, that serializes as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

/// The last second that can be said: a day before the year 9999 ends, whatever the offset.
const LAST: i64 = 253_402_207_200;

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond the years 0 to 9999 there is no RFC 3339; nothing that is taken lies there.
        match Timestamp::from_second(self.0.clamp(-62_167_219_200, LAST)) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        parse_time(&text).map(Self).ok_or_else(|| de::Error::custom("expected a time of RFC 3339"))
    }
}

impl Time {
    /// Reads a body's member.
    pub fn read(value: Reader<'_>) -> Option<Self> {
        parse_time(value.string()?).map(Self).or_else(|| value.fail("a time of RFC 3339, from 1970 on"))
    }
}

/// Reads an instant of RFC 3339, to the second, from 1970 on.
pub fn parse_time(text: &str) -> Option<i64> {
    let seconds = text.parse::<Timestamp>().ok()?.as_second();
    (0..=LAST).contains(&seconds).then_some(seconds)
}

/// Reads a date of HTTP (RFC 9110 section 5.6.7), in the form that is sent today.
pub fn parse_http_date(text: &str) -> Option<i64> {
    let date = text.strip_suffix(" GMT")?;
    let date = jiff::fmt::rfc2822::parse(&format!("{date} +0000")).ok()?;
    Some(date.timestamp().as_second())
}

#[cfg(feature = "openapi")]
mod schema {
    use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
    use utoipa::{PartialSchema, ToSchema};

    impl PartialSchema for super::Time {
        fn schema() -> RefOr<Schema> {
            let time = ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
            time.into()
        }
    }

    impl ToSchema for super::Time {}
}

#[cfg(test)]
mod tests {
    use super::{LAST, Time, parse_time};

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(Time(1_790_000_123).to_string(), "2026-09-21T14:15:23Z");
        assert_eq!(parse_time("2026-09-21T16:15:23+02:00"), Some(1_790_000_123));
        for not in ["2026-09-21", "1969-12-31T23:59:59Z", "soon", ""] {
            assert_eq!(parse_time(not), None, "{not}");
        }
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        for second in [0, 1, 1_790_000_123, LAST] {
            let text = serde_json::to_string(&Time(second)).unwrap();
            assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), Time(second), "{text}");
        }
    }
}
