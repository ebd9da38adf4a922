//! How often something may happen: the generic cell rate algorithm over milliseconds.
//!
//! Its whole state is one instant, so a row keeps it in one column.

/// Once in `every_ms` on average, `burst` times at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Milliseconds that each admission costs.
    pub every_ms: i64,
    /// How many are admitted at once after a pause that was long enough.
    pub burst: i64,
}

/// An install may be judged once in 5 s on average, 10 times in a burst, all operations together.
pub const INSTALL_QUOTA: Quota = Quota { every_ms: 5_000, burst: 10 };

/// What was used of a quota. The default has used nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// The theoretical arrival time: the Unix millisecond at which all that was used is given back.
    pub tat: i64,
}

impl Rate {
    /// Takes one from the quota, or says after how many milliseconds one can be had; then nothing is taken.
    pub fn admit(&mut self, quota: Quota, now_ms: i64) -> Result<(), i64> {
        let tat = self.tat.max(now_ms).saturating_add(quota.every_ms);
        let ahead = tat.saturating_sub(now_ms).saturating_sub(quota.every_ms.saturating_mul(quota.burst));
        if ahead > 0 {
            return Err(ahead);
        }
        self.tat = tat;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_then_one_in_five_seconds() {
        let mut rate = Rate::default();
        let start = 1_790_000_000_000;
        for _ in 0..10 {
            assert_eq!(rate.admit(INSTALL_QUOTA, start), Ok(()));
        }
        assert_eq!(rate.admit(INSTALL_QUOTA, start), Err(5_000));
        assert_eq!(rate.admit(INSTALL_QUOTA, start + 4_999), Err(1));
        assert_eq!(rate.admit(INSTALL_QUOTA, start + 5_000), Ok(()));
        assert_eq!(rate.admit(INSTALL_QUOTA, start + 5_000), Err(5_000));
    }

    #[test]
    fn no_instant_overflows() {
        for now in [i64::MIN, -1, 0, i64::MAX] {
            for tat in [i64::MIN, 0, i64::MAX] {
                let _answer = Rate { tat }.admit(Quota { every_ms: i64::MAX, burst: i64::MAX }, now);
            }
        }
    }

    proptest! {
        #[test]
        fn no_span_admits_more_than_the_burst_and_the_average(pauses in prop::collection::vec(0_i64..20_000, 1..200)) {
            let (mut rate, mut now, mut admitted) = (Rate::default(), 1_790_000_000_000, Vec::new());
            for pause in pauses {
                now += pause;
                match rate.admit(INSTALL_QUOTA, now) {
                    Ok(()) => admitted.push(now),
                    Err(wait) => {
                        let (mut early, mut in_time) = (rate, rate);
                        prop_assert!(early.admit(INSTALL_QUOTA, now + wait - 1).is_err());
                        prop_assert!(in_time.admit(INSTALL_QUOTA, now + wait).is_ok());
                    }
                }
            }
            for (first, from) in admitted.iter().enumerate() {
                for (last, to) in admitted.iter().enumerate().skip(first) {
                    let count = i64::try_from(last - first + 1).unwrap();
                    prop_assert!(count <= 10 + (to - from) / 5_000);
                }
            }
        }
    }
}
