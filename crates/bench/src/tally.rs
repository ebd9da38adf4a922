//! What came of the requests.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::target::Failure;

/// The longest latency that is told from longer ones, microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;

/// Latencies, to three digits.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_max(LONGEST, 3).expect("three digits are possible up to there"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The percentiles; none without any request.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| self.0.value_at_quantile(quantile);
        (!self.0.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: self.0.max(),
        })
    }
}

/// Microseconds that so many of a hundred requests took at most.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p99_9: u64,
    pub(crate) max: u64,
}

/// Everything that is counted in one run.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Of the answers that are decisions.
    pub(crate) accepted: Latencies,
    /// Of all other answers.
    pub(crate) refused: Latencies,
    /// Answers by HTTP status.
    pub(crate) by_status: BTreeMap<u16, u64>,
    /// Refusals by the problem's code.
    pub(crate) by_code: BTreeMap<String, u64>,
    /// Refusals by the seconds of their `Retry-After`.
    pub(crate) retry_after: BTreeMap<u64, u64>,
    /// Attempts without an answer.
    pub(crate) failures: BTreeMap<Failure, u64>,
    /// Attempts.
    pub(crate) attempts: u64,
    /// How often a worker waited for an install to be allowed a heartbeat again.
    pub(crate) waits_for_quota: u64,
    /// Tokens that were compared with their requests.
    pub(crate) tokens_compared: u64,
    /// Tokens whose signature and claims were verified.
    pub(crate) tokens_verified: u64,
    /// Answers that weren't the request's own, or didn't verify.
    pub(crate) wrong_answers: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            accepted: Latencies::new(),
            refused: Latencies::new(),
            by_status: BTreeMap::new(),
            by_code: BTreeMap::new(),
            retry_after: BTreeMap::new(),
            failures: BTreeMap::new(),
            attempts: 0,
            waits_for_quota: 0,
            tokens_compared: 0,
            tokens_verified: 0,
            wrong_answers: 0,
        }
    }

    /// Counts a refusal by its code, and by when to come again.
    pub(crate) fn refused_with(&mut self, code: &str, retry_after: Option<Duration>) {
        if let Some(after) = retry_after {
            *self.retry_after.entry(after.as_secs()).or_default() += 1;
        }
        match self.by_code.get_mut(code) {
            Some(count) => *count += 1,
            None => _ = self.by_code.insert(code.to_owned(), 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latencies;

    #[test]
    fn percentiles_are_microseconds_to_three_digits() {
        let mut latencies = Latencies::new();
        assert!(latencies.percentiles().is_none());
        (1..=1000).for_each(|millis| latencies.record(Duration::from_millis(millis)));
        let percentiles = latencies.percentiles().expect("there are some");
        assert!((499_000..=501_000).contains(&percentiles.p50), "{percentiles:?}");
        assert!((999_000..=1_001_000).contains(&percentiles.max), "{percentiles:?}");
    }
}
