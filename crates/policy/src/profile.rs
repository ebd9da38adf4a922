//! The knobs that judge.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::State;
use crate::named::named;

const WEEK: i64 = 604_800;

named! {
    /// What a suspected clone does to an install.
    CloneAction, "clone action" {
        /// Nothing.
        Ignore = "ignore",
        /// Rule 13 warns.
        Warn = "warn",
        /// Rule 5 quarantines.
        Quarantine = "quarantine",
    }
}

/// The least score that is still the same machine: a decimal fraction of at most three places, kept exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MinMatch(u16);

impl MinMatch {
    /// Reads a JSON number from 0 to 1 whose value has at most three decimals, in whatever spelling: `0.6`, `6e-1`,
    /// `0.600`.
    pub fn parse(number: &str) -> Option<Self> {
        let (mantissa, exponent) = match number.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, clamped_exponent(exponent)?),
            None => (number, 0),
        };
        let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self(0));
        }
        let trailing = digits.len() - digits.trim_end_matches('0').len();
        // The value is `significant` times ten to this power; in thousandths it has to be whole.
        let power = exponent + i64::try_from(trailing).ok()? - i64::try_from(fraction.len()).ok()? + 3;
        if negative || !(0..=3).contains(&power) || significant.len() > 4 {
            return None;
        }
        let thousandths = significant.parse::<u32>().ok()? * 10_u32.pow(u32::try_from(power).ok()?);
        u16::try_from(thousandths).ok().filter(|thousandths| *thousandths <= 1000).map(Self)
    }

    /// Its value times 1000.
    pub const fn thousandths(self) -> u16 {
        self.0
    }

    /// Whether it is 0: then every score reaches it.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// As a JSON number, in its shortest spelling.
    pub fn to_json(self) -> String {
        match (self.0 / 1000, self.0 % 1000) {
            (whole, 0) => whole.to_string(),
            (whole, thousandths) => format!("{whole}.{thousandths:03}").trim_end_matches('0').to_owned(),
        }
    }
}

impl Serialize for MinMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 1000.0)
    }
}

impl<'de> Deserialize<'de> for MinMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        let expected = "a number from 0 to 1 with at most three decimals";
        Self::parse(number.get()).ok_or_else(|| serde::de::Error::custom(expected))
    }
}

/// An exponent as it stands after the `e`. One that is far out is as good as any other that is.
fn clamped_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
    Some(if text.starts_with('-') { -size } else { size })
}

/// How often a state is heard of, and how long a token may say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Seconds between heartbeats.
    pub interval: i64,
    /// Seconds that a token lives.
    pub token_ttl: i64,
}

/// A pace for every state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cadence([Pace; State::ALL.len()]);

impl Cadence {
    /// A state's pace.
    pub const fn pace(&self, state: State) -> Pace {
        self.0[state as usize]
    }

    /// Gives a state another pace.
    pub fn set(&mut self, state: State, pace: Pace) {
        self.0[state as usize] = pace;
    }
}

impl Default for Cadence {
    fn default() -> Self {
        let pace = |interval, token_ttl| Pace { interval, token_ttl };
        Self([
            pace(300, 900),
            pace(120, 600),
            pace(3600, 7200),
            pace(300, 900),
            pace(600, 1800),
            pace(60, 300),
            pace(900, 1800),
            pace(300, 900),
            pace(900, 1800),
            pace(86_400, 172_800),
        ])
    }
}

/// The knobs that judge; those of a published profile that don't stand in [`crate::Knobs`]. Durations are seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Below this score it is another machine.
    pub min_match: MinMatch,
    /// What a component weighs; 1 where nothing is said.
    pub weights: BTreeMap<String, u64>,
    /// What a suspected clone does.
    pub clone_action: CloneAction,
    /// From how much silence on it counts.
    pub silence_tolerance: i64,
    /// Grace window of `out_of_contact`.
    pub silence_grace: i64,
    /// Degraded window of `out_of_contact`.
    pub silence_degraded: i64,
    /// Grace window of `license_expired`.
    pub expiry_grace: i64,
    /// Degraded window of `license_expired`.
    pub expiry_degraded: i64,
    /// Grace window of `seats_exceeded`.
    pub overage_grace: i64,
    /// Degraded window of `seats_exceeded`.
    pub overage_degraded: i64,
    /// A skew beyond this, in either direction, is drift.
    pub max_clock_skew: i64,
    /// An agent older than this is drift.
    pub min_agent_version: Option<String>,
    /// Intervals and token TTLs.
    pub cadence: Cadence,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            min_match: MinMatch(600),
            weights: BTreeMap::new(),
            clone_action: CloneAction::Warn,
            silence_tolerance: 3600,
            silence_grace: WEEK,
            silence_degraded: WEEK,
            expiry_grace: WEEK,
            expiry_degraded: WEEK,
            overage_grace: WEEK,
            overage_degraded: WEEK,
            max_clock_skew: 300,
            min_agent_version: None,
            cadence: Cadence::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MinMatch;

    #[test]
    fn min_match_is_read_exactly_in_whatever_spelling() {
        for (text, thousandths) in [
            ("0", 0),
            ("-0", 0),
            ("0.000", 0),
            ("0e999999999999999999999", 0),
            ("1", 1000),
            ("1.000", 1000),
            ("0.6", 600),
            ("6e-1", 600),
            ("0.600000000000000000000000000", 600),
            ("0.667", 667),
            ("667e-3", 667),
            ("0.001", 1),
            ("1E-3", 1),
            ("0.0000001e+4", 1),
            ("10e-1", 1000),
            ("100000e-5", 1000),
            ("0.05", 50),
        ] {
            assert_eq!(MinMatch::parse(text).map(MinMatch::thousandths), Some(thousandths), "{text}");
        }
        for text in [
            "1.001",
            "0.6005",
            "0.66700000000000000000001",
            "-0.1",
            "2",
            "1e1",
            "1e-4",
            "1e999999999999999999999",
            "1e-999999999999999999999",
            "",
            ".5",
            "a",
            "1e",
            "0x1",
            "10000",
            "0.6 ",
        ] {
            assert_eq!(MinMatch::parse(text), None, "{text}");
        }
    }

    #[test]
    fn min_match_prints_back() {
        for thousandths in 0..=1000 {
            let text = MinMatch(thousandths).to_json();
            assert_eq!(MinMatch::parse(&text), Some(MinMatch(thousandths)), "{text}");
        }
    }
}
