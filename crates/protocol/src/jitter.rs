//! Spreading what would come at once.

use crate::ambient::{self, Random};

/// Full jitter: uniformly from 0 to `ceiling`, both included, in whatever unit that is.
///
/// It spreads a fleet that lost its server together, so that it doesn't come back together.
pub fn full(random: &(impl Random + ?Sized), ceiling: u64) -> u64 {
    let spread = u128::from(ceiling) + 1;
    let scaled = (u128::from(u64::from_be_bytes(ambient::array(random))) * spread) >> 64;
    u64::try_from(scaled).expect("a 64-bit fraction of what is at most 2^64 is below it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::SeededRandom;

    #[test]
    fn jitter_stays_within_its_bounds_and_reaches_them() {
        let random = SeededRandom::new(1);
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| full(&random, 9)).collect();
        assert_eq!(drawn, (0..=9).collect());
        assert_eq!(full(&random, 0), 0);
        let _any: u64 = full(&random, u64::MAX);
    }
}
