//! Which time it is for the ladder and for proofs, `docs/protocol.md`, "What an agent keeps and does". Pure.

use serde::{Deserialize, Serialize};

use crate::clock::Reading;

/// A wall clock that went back by more than this over a restart was turned back, in seconds.
const MAX_TURNED_BACK: i64 = 3600;

/// How often the time is saved, in milliseconds.
const SAVED_EVERY_MS: i64 = 60_000;

/// By how much the server's clock may lag behind what was measured here, in seconds.
const TOLERANCE: i64 = 60;

/// Time that comes from what was signed: the newest verified `iat`, and what passed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderTime {
    /// The newest verified `iat`, Unix seconds.
    newest: i64,
    /// The time at `reading`, Unix milliseconds.
    at_ms: i64,
    /// How much of what passed since `newest` wasn't measured but guessed from the wall clock.
    guessed_ms: i64,
    /// What the clocks showed then.
    reading: Reading,
    /// The wall clock was turned back over a restart, and no server was heard since.
    turned_back: bool,
}

impl LadderTime {
    /// The time when a decision of this `iat` was verified, at this reading.
    pub const fn heard(iat: i64, reading: Reading) -> Self {
        let at_ms = iat.saturating_mul(1000);
        Self { newest: iat, at_ms, guessed_ms: 0, reading, turned_back: false }
    }

    /// The time at a later reading.
    ///
    /// What passed while the machine was off is how far the wall clock went on, or how far it is ahead of the
    /// saved time, whichever is less, and at least 0: a clock that is merely wrong harms nobody.
    #[must_use]
    pub fn at(&self, reading: &Reading) -> Self {
        let mut later = Self { reading: reading.clone(), ..self.clone() };
        if let Some(measured) = reading.measured_since(&self.reading) {
            later.at_ms = self.at_ms.saturating_add(measured);
            return later;
        }
        let went_on = reading.unix.saturating_sub(self.reading.unix);
        let is_ahead = reading.unix.saturating_sub(self.unix());
        let off = went_on.min(is_ahead).max(0).saturating_mul(1000);
        later.at_ms = self.at_ms.saturating_add(off);
        later.guessed_ms = self.guessed_ms.saturating_add(off);
        later.turned_back |= went_on < -MAX_TURNED_BACK;
        later
    }

    /// The time when another decision is verified. One that is older than the newest sets no time, but it was
    /// heard.
    #[must_use]
    pub fn hear(&self, iat: i64, reading: &Reading) -> Self {
        if iat >= self.newest {
            Self::heard(iat, reading.clone())
        } else {
            Self { turned_back: false, ..self.at(reading) }
        }
    }

    /// Unix seconds.
    pub const fn unix(&self) -> i64 {
        self.at_ms.div_euclid(1000)
    }

    /// Milliseconds from now until an instant (Unix seconds), at least 0.
    pub fn until_ms(&self, unix: i64) -> u64 {
        unix.saturating_mul(1000).saturating_sub(self.at_ms).max(0).unsigned_abs()
    }

    /// The newest verified `iat`.
    pub const fn newest(&self) -> i64 {
        self.newest
    }

    /// Whether the wall clock was turned back over a restart.
    pub const fn is_turned_back(&self) -> bool {
        self.turned_back
    }

    /// The time that it is at least, whatever the wall clock was set to: what was measured and not guessed, less
    /// what clocks drift apart.
    pub const fn surely(&self) -> i64 {
        let measured = self.at_ms.saturating_sub(self.guessed_ms).div_euclid(1000);
        let drift = measured.saturating_sub(self.newest) / 1000;
        measured.saturating_sub(drift).saturating_sub(TOLERANCE)
    }

    /// Whether this was kept longer ago than a minute, or before the machine was restarted.
    pub fn is_stale(&self, reading: &Reading) -> bool {
        reading.measured_since(&self.reading).is_none_or(|age_ms| age_ms >= SAVED_EVERY_MS)
    }
}

/// The server's clock, as the latest answer told it: what proofs are made for. Nothing of it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerTime {
    unix: i64,
    reading: Reading,
}

impl ServerTime {
    /// The server's clock showed `unix` seconds at this reading.
    pub const fn told(unix: i64, reading: Reading) -> Self {
        Self { unix, reading }
    }

    /// What it shows now, in Unix seconds. Over a restart the wall clock tells what passed; if that is wrong, the
    /// next answer is a 401 that tells the time.
    pub fn at(&self, reading: &Reading) -> i64 {
        let passed = match reading.measured_since(&self.reading) {
            Some(measured) => measured / 1000,
            None => reading.unix.saturating_sub(self.reading.unix).max(0),
        };
        self.unix.saturating_add(passed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn reading(boot: u8, unix: i64, monotonic: i64) -> Reading {
        Reading { unix, monotonic_ms: monotonic.saturating_mul(1000), boot_id: format!("boot-{boot}") }
    }

    #[test]
    fn within_one_boot_only_the_monotonic_clock_counts() {
        let time = LadderTime::heard(NOW, reading(1, NOW, 100));
        for wall in [NOW - 1_000_000, NOW, NOW + 1_000_000] {
            let later = time.at(&reading(1, wall, 400));
            assert_eq!((later.unix(), later.is_turned_back()), (NOW + 300, false));
        }
    }

    #[test]
    fn sleep_and_parts_of_seconds_are_not_lost_by_saving_often() {
        let mut time = LadderTime::heard(NOW, reading(1, NOW, 0));
        for step in 1..=1000 {
            time = time.at(&Reading { monotonic_ms: step * 999, ..reading(1, NOW, 0) });
        }
        assert_eq!(time.unix(), NOW + 999);
    }

    #[test]
    fn off_time_is_the_lesser_of_how_far_the_wall_clock_went_and_how_far_it_is_ahead() {
        let right = LadderTime::heard(NOW, reading(1, NOW, 100));
        assert_eq!(right.at(&reading(2, NOW + 500, 9)).unix(), NOW + 500);
        // A clock that was a day behind and is right after the restart: it went on by a day and 500 s.
        let behind = LadderTime::heard(NOW, reading(1, NOW - 86_400, 100));
        assert_eq!(behind.at(&reading(2, NOW + 500, 9)).unix(), NOW + 500);
        // A clock that is a day behind and stays so.
        assert_eq!(behind.at(&reading(2, NOW - 86_400 + 500, 9)).unix(), NOW);
        // A clock that is a day ahead and stays so.
        let ahead = LadderTime::heard(NOW, reading(1, NOW + 86_400, 100));
        assert_eq!(ahead.at(&reading(2, NOW + 86_400 + 500, 9)).unix(), NOW + 500);
    }

    #[test]
    fn a_wall_clock_turned_back_by_more_than_an_hour_over_a_restart_is_noticed_until_the_server_is_heard() {
        let time = LadderTime::heard(NOW, reading(1, NOW, 100));
        let an_hour = time.at(&reading(2, NOW - 3600, 9));
        assert_eq!((an_hour.unix(), an_hour.is_turned_back()), (NOW, false));
        let more = time.at(&reading(2, NOW - 3601, 9));
        assert_eq!((more.unix(), more.is_turned_back()), (NOW, true));
        assert!(more.at(&reading(2, NOW, 99)).is_turned_back());
        assert!(more.at(&reading(3, NOW + 99, 9)).is_turned_back());
        assert!(!more.hear(NOW + 50, &reading(2, NOW, 100)).is_turned_back());
        assert!(!more.hear(NOW - 50, &reading(2, NOW, 100)).is_turned_back());
    }

    #[test]
    fn an_older_decision_sets_no_time() {
        let time = LadderTime::heard(NOW, reading(1, NOW, 0));
        let heard = time.hear(NOW - 30, &reading(1, NOW, 10));
        assert_eq!((heard.newest(), heard.unix()), (NOW, NOW + 10));
        assert_eq!(time.hear(NOW + 5, &reading(1, NOW, 10)).unix(), NOW + 5);
    }

    #[test]
    fn a_clock_set_far_ahead_over_a_restart_proves_nothing() {
        let time = LadderTime::heard(NOW, reading(1, NOW, 0)).at(&reading(2, NOW + 300_000_000, 0));
        assert_eq!(time.unix(), NOW + 300_000_000);
        assert_eq!(time.surely(), NOW - TOLERANCE);
        assert_eq!(time.at(&reading(2, 0, 100_000)).surely(), NOW + 100_000 - 100 - TOLERANCE);
    }

    #[test]
    fn the_servers_clock_goes_on_through_a_restart() {
        let time = ServerTime::told(NOW, reading(1, 1000, 50));
        assert_eq!(time.at(&reading(1, 0, 75)), NOW + 25);
        assert_eq!(time.at(&reading(2, 1300, 5)), NOW + 300);
        assert_eq!(time.at(&reading(2, 0, 5)), NOW);
    }

    prop_compose! {
        fn any_reading()(boot in 0_u8..3, unix: i64, monotonic: i64) -> Reading {
            reading(boot, unix, monotonic)
        }
    }

    proptest! {
        #[test]
        fn time_never_goes_back_and_never_panics(iat in 0..=protocol::MAX_INTEGER, readings in prop::collection::vec(any_reading(), 1..9)) {
            let mut time = LadderTime::heard(iat, readings[0].clone());
            for reading in &readings {
                let later = time.at(reading);
                prop_assert!(later.at_ms >= time.at_ms);
                prop_assert!(later.surely() <= later.unix());
                prop_assert!(later.is_turned_back() >= time.is_turned_back());
                time = later;
                let _any = ServerTime::told(iat, readings[0].clone()).at(reading);
            }
        }

        #[test]
        fn how_often_it_was_saved_within_a_boot_changes_nothing(steps in prop::collection::vec(0_i64..100_000, 1..20)) {
            let start = LadderTime::heard(NOW, reading(1, NOW, 0));
            let (mut saved, mut passed) = (start.clone(), 0);
            for step in steps {
                passed += step;
                let now = Reading { monotonic_ms: passed, ..reading(1, NOW, 0) };
                saved = saved.at(&now);
                prop_assert_eq!(&saved, &start.at(&now));
            }
        }
    }
}
