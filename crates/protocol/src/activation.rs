//! The same machine's activations: which one is a retry after a lost answer, and how many are taken. Pure.

use crate::{Secret, secrets::Secrets};

/// For so long the same license key, fingerprint and nonce are a retry after a lost answer, in seconds.
const RETRY: i64 = 600;

/// Over so long activations are counted, in seconds.
const MONTH: i64 = 30 * 86_400;

/// The highest bound that an enforcement profile can set on them.
const MOST_COUNTED: usize = 1000;

/// What is kept of an install's activations.
#[derive(Clone, Copy, Debug)]
pub struct Activations<'a> {
    /// What the last one has in common with its retries: a digest of its nonce and fingerprint.
    pub last_digest: &'a [u8],
    /// When the last one was, Unix seconds.
    pub last_at: i64,
    /// When those were that count.
    pub counted: &'a [i64],
    /// The next one doesn't count.
    pub next_is_free: bool,
}

/// How a machine that was activated before is activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// The last answer was lost.
    Retry,
    /// It was installed again.
    Reinstall,
}

impl Activations<'_> {
    /// What another activation of this digest is at `now` (Unix seconds), and those that count from then on. `None`:
    /// there were too many in thirty days.
    #[must_use]
    pub fn again(&self, digest: &[u8; 32], now: i64, bound: Option<u32>) -> Option<(Again, Vec<i64>)> {
        let mut counted = self.counted.to_vec();
        if self.last_digest == digest && now < self.last_at.saturating_add(RETRY) {
            return Some((Again::Retry, counted));
        }
        if !self.next_is_free {
            counted.retain(|at| now < at.saturating_add(MONTH));
            let is_full = |bound| counted.len() >= usize::try_from(bound).unwrap_or(usize::MAX);
            if bound.is_some_and(is_full) {
                return None;
            }
            counted.push(now);
            // No bound is higher, and where there is none the list doesn't grow with every reinstall.
            let excess = counted.len().saturating_sub(MOST_COUNTED);
            counted.drain(..excess);
        }
        Some((Again::Reinstall, counted))
    }
}

impl Again {
    /// Which secrets serve from then on, with a new one.
    #[must_use]
    pub fn secrets(self, known: Option<Secrets>, new: Secret) -> Secrets {
        match (self, known) {
            (Self::Retry, Some(mut secrets)) => {
                secrets.retry_activation(new);
                secrets
            }
            _ => Secrets::fresh(new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_123;
    const LAST: Activations<'_> = Activations {
        last_digest: &[1; 32],
        last_at: NOW,
        counted: &[NOW - MONTH, NOW - 1],
        next_is_free: false,
    };

    #[test]
    fn the_same_within_ten_minutes_is_a_retry_and_counts_nothing_whatever_the_bound() {
        assert_eq!(
            LAST.again(&[1; 32], NOW + 599, Some(0)),
            Some((Again::Retry, vec![NOW - MONTH, NOW - 1]))
        );
        assert_eq!(LAST.again(&[1; 32], NOW + 600, None), Some((Again::Reinstall, vec![NOW - 1, NOW + 600])));
        assert_eq!(LAST.again(&[2; 32], NOW, None), Some((Again::Reinstall, vec![NOW - 1, NOW])));
    }

    #[test]
    fn those_of_thirty_days_count_and_a_free_one_does_not() {
        assert_eq!(LAST.again(&[2; 32], NOW, Some(1)), None);
        assert_eq!(LAST.again(&[2; 32], NOW, Some(2)), Some((Again::Reinstall, vec![NOW - 1, NOW])));
        assert_eq!(
            LAST.again(&[2; 32], NOW - 1 + MONTH, Some(1)),
            Some((Again::Reinstall, vec![NOW - 1 + MONTH]))
        );
        let free = Activations { counted: &[], next_is_free: true, ..LAST };
        assert_eq!(free.again(&[2; 32], NOW, Some(0)), Some((Again::Reinstall, vec![])));
    }

    #[test]
    fn the_list_is_bounded_where_nothing_else_bounds_it() {
        let counted: Vec<i64> = (0..1000).map(|age| NOW - 1000 + age).collect();
        let (_, longer) = Activations { counted: &counted, ..LAST }.again(&[2; 32], NOW, None).unwrap();
        assert_eq!((longer.len(), longer[0], longer[999]), (1000, NOW - 999, NOW));
    }

    #[test]
    fn a_reinstall_ends_what_a_retry_leaves_serving() {
        let [old, new] = [1, 2].map(|number| Secret::from_bytes([number; 32]));
        let serving = |again: Again, known| again.secrets(known, new.clone()).iter().count();
        assert_eq!(serving(Again::Retry, Some(Secrets::fresh(old.clone()))), 2);
        assert_eq!(serving(Again::Reinstall, Some(Secrets::fresh(old))), 1);
        assert_eq!(serving(Again::Retry, None), 1, "after a reset");
    }
}
