//! When to beat next. Pure.

use protocol::{ambient::Random, jitter};

/// No interval is longer, in seconds: what an enforcement profile may ask for (`docs/policy.md`).
const LONGEST_INTERVAL: i64 = 604_800;

/// The interval before any was asked for: a machine's that is authorized.
pub const DEFAULT_INTERVAL: u64 = 300;

/// The first ceiling of a retry's delay, in seconds.
const FIRST_RETRY: u64 = 5;

/// A server may put an agent off for this long, or for the last interval where that is longer, in seconds.
const LONGEST_RETRY_AFTER: u64 = 3600;

/// A token's `nhb`, within what a profile can ask for: 1 s to a week.
pub fn interval(nhb: i64) -> u64 {
    nhb.clamp(1, LONGEST_INTERVAL).unsigned_abs()
}

/// How often it failed in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    failures: u32,
}

impl Schedule {
    /// The delay after a success, in milliseconds: the interval (seconds) ±10 %.
    pub fn after_success(&mut self, interval: u64, random: &(impl Random + ?Sized)) -> u64 {
        self.failures = 0;
        interval * 900 + jitter::full(random, interval * 200)
    }

    /// The delay after a failure, in milliseconds: full jitter under a ceiling that doubles from 5 s up to the last
    /// interval (seconds), and no sooner than the server asks for.
    pub fn after_failure(
        &mut self,
        interval: u64,
        retry_after: Option<u64>,
        random: &(impl Random + ?Sized),
    ) -> u64 {
        let ceiling = FIRST_RETRY.saturating_mul(2_u64.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let delay = jitter::full(random, ceiling.min(interval.max(FIRST_RETRY)).saturating_mul(1000));
        let asked = retry_after.unwrap_or(0).min(LONGEST_RETRY_AFTER.max(interval));
        delay.max(asked.saturating_mul(1000))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::ambient::SeededRandom;

    use super::*;

    /// Random bytes that are all the same: the least delay, or the greatest.
    struct Always(u8);

    impl Random for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn ceilings_double_from_5_s_up_to_the_last_interval_and_a_success_begins_anew() {
        let mut schedule = Schedule::default();
        let delays: Vec<_> = (0..9).map(|_| schedule.after_failure(300, None, &Always(255))).collect();
        assert_eq!(delays, [5, 10, 20, 40, 80, 160, 300, 300, 300].map(|seconds| seconds * 1000));
        assert_eq!(schedule.after_failure(300, None, &Always(0)), 0);
        assert_eq!(schedule.after_success(300, &Always(0)), 270_000);
        assert_eq!(schedule.after_success(300, &Always(255)), 330_000);
        assert_eq!(schedule.after_failure(300, None, &Always(255)), 5000);
        assert_eq!(Schedule::default().after_failure(1, None, &Always(255)), 5000);
    }

    #[test]
    fn what_the_server_asks_for_is_honoured_up_to_an_hour_or_the_last_interval() {
        let delay = |interval, after| Schedule::default().after_failure(interval, Some(after), &Always(0));
        assert_eq!(
            [delay(5, 90), delay(5, u64::MAX), delay(86_400, 50_000)],
            [90_000, 3_600_000, 50_000_000]
        );
    }

    #[test]
    fn absurd_intervals_are_taken_as_the_nearest_that_a_profile_can_ask_for() {
        assert_eq!([i64::MIN, 0, 1, 300, i64::MAX].map(interval), [1, 1, 1, 300, 604_800]);
    }

    proptest! {
        #[test]
        fn delays_stay_within_their_bounds(seed: u64, nhb: i64, failures in 0_u32..100, asked: Option<u64>) {
            let random = SeededRandom::new(seed);
            let interval = interval(nhb);
            let regular = Schedule::default().after_success(interval, &random);
            prop_assert!((interval * 900..=interval * 1100).contains(&regular));
            let retry = Schedule { failures }.after_failure(interval, asked, &random);
            prop_assert!(retry <= interval.max(LONGEST_RETRY_AFTER) * 1000);
        }
    }
}
