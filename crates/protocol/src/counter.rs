//! The number of an attempt.

use std::{fmt, str::FromStr};

use crate::{Expected, MAX_INTEGER};

/// The number of an attempt: 1 ≤ n < 2^53, larger in every attempt of an install than in any before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter(u64);

impl Counter {
    /// The last counter that there is; an agent that has used it activates anew.
    pub const MAX: Self = Self(MAX_INTEGER.unsigned_abs());

    /// The counter of this value; `None` outside its range.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if 1 <= value && value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The counter that follows a number (0: nothing was sent yet); `None` after the last.
    #[must_use]
    pub const fn after(number: u64) -> Option<Self> {
        Self::new(number.saturating_add(1))
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl FromStr for Counter {
    type Err = Expected;

    /// Reads decimal digits without a leading zero.
    fn from_str(text: &str) -> Result<Self, Expected> {
        let canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        canonical
            .then(|| text.parse().ok().and_then(Self::new))
            .flatten()
            .ok_or(Expected("a counter: decimal, without leading zeros, 1 to 2^53 − 1"))
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_decimal_and_in_range() {
        for value in [1, 7, 10, 9_007_199_254_740_991] {
            let counter = Counter::new(value).unwrap();
            assert_eq!(value.to_string().parse::<Counter>().unwrap(), counter);
            assert_eq!((counter.value(), counter.to_string()), (value, value.to_string()));
        }
        for other in [
            "",
            "0",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "9007199254740992",
            "99999999999999999999",
            "\u{661}",
        ] {
            assert!(other.parse::<Counter>().is_err(), "{other}");
        }
        assert_eq!(Counter::new(0), None);
        assert_eq!(Counter::new(1 << 53), None);
    }

    #[test]
    fn the_last_counter_has_no_successor() {
        assert_eq!(Counter::after(0), Counter::new(1));
        assert_eq!(Counter::after(Counter::MAX.value() - 1), Some(Counter::MAX));
        assert_eq!(Counter::after(Counter::MAX.value()), None);
        assert_eq!(Counter::after(u64::MAX), None);
    }
}
