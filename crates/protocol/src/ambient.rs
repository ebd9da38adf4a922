//! Time and randomness, as everything that needs them gets them: from outside.

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970 in UTC.
    fn unix_millis(&self) -> i64;

    /// Seconds since 1970 in UTC, rounded down.
    fn unix_seconds(&self) -> i64 {
        self.unix_millis().div_euclid(1000)
    }
}

/// Makes random bytes fit for secrets.
pub trait Random: Send + Sync {
    /// Overwrites `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);
}

/// An array of random bytes.
pub fn array<const N: usize>(random: &(impl Random + ?Sized)) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

#[cfg(feature = "system")]
pub use system::{OsRandom, SystemClock};
#[cfg(feature = "testing")]
pub use testing::{ManualClock, SeededRandom};

#[cfg(feature = "system")]
mod system {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::{Clock, Random};

    /// The operating system's wall clock.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct SystemClock;

    impl Clock for SystemClock {
        fn unix_millis(&self) -> i64 {
            let millis =
                |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => millis(since),
                Err(before) => -millis(before.duration()),
            }
        }
    }

    /// The operating system's random generator.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct OsRandom;

    impl Random for OsRandom {
        fn fill(&self, bytes: &mut [u8]) {
            getrandom::fill(bytes).expect("an operating system without random bytes can't run this");
        }
    }
}

#[cfg(feature = "testing")]
mod testing {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    };

    use sha2::{Digest, Sha256};

    use super::{Clock, Random};

    /// A clock that stands until it is set; clones share their hands.
    #[derive(Clone, Debug)]
    pub struct ManualClock(Arc<AtomicI64>);

    impl ManualClock {
        /// A clock that shows this second.
        #[must_use]
        pub fn at(unix_seconds: i64) -> Self {
            Self(Arc::new(AtomicI64::new(unix_seconds.saturating_mul(1000))))
        }

        /// Sets it to a second.
        pub fn set(&self, unix_seconds: i64) {
            self.0.store(unix_seconds.saturating_mul(1000), Ordering::SeqCst);
        }

        /// Moves it by seconds, back too.
        pub fn advance(&self, seconds: i64) {
            self.advance_millis(seconds.saturating_mul(1000));
        }

        /// Moves it by milliseconds, back too.
        pub fn advance_millis(&self, millis: i64) {
            self.0.fetch_add(millis, Ordering::SeqCst);
        }
    }

    impl Clock for ManualClock {
        fn unix_millis(&self) -> i64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    /// A random generator that gives the same bytes in every run: SHA-256 over its seed and a running number.
    #[derive(Debug)]
    pub struct SeededRandom {
        seed: u64,
        block: AtomicU64,
    }

    impl SeededRandom {
        /// The generator of this seed, at its beginning.
        #[must_use]
        pub const fn new(seed: u64) -> Self {
            Self { seed, block: AtomicU64::new(0) }
        }
    }

    impl Random for SeededRandom {
        fn fill(&self, bytes: &mut [u8]) {
            for chunk in bytes.chunks_mut(32) {
                let block = self.block.fetch_add(1, Ordering::SeqCst);
                let mut hash = Sha256::new();
                hash.update(self.seed.to_be_bytes());
                hash.update(block.to_be_bytes());
                chunk.copy_from_slice(&hash.finalize()[..chunk.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_down_before_1970_too() {
        let clock = ManualClock::at(0);
        clock.advance_millis(-1);
        assert_eq!((clock.unix_millis(), clock.unix_seconds()), (-1, -1));
        let same = clock.clone();
        clock.set(7);
        same.advance(3);
        assert_eq!(clock.unix_seconds(), 10);
    }

    #[test]
    fn a_seed_gives_one_stream_and_no_block_twice() {
        let (one, same, other) = (SeededRandom::new(1), SeededRandom::new(1), SeededRandom::new(2));
        let first: [u8; 40] = array(&one);
        assert_eq!(first, array(&same));
        assert_ne!(first, array(&one));
        assert_ne!(first, array(&other));
        let dynamic: &dyn Random = &one;
        let _fits: [u8; 3] = array(dynamic);
    }

    #[test]
    fn the_system_tells_a_plausible_time_and_different_bytes() {
        assert!(SystemClock.unix_seconds() > 1_700_000_000);
        assert_ne!(array::<16>(&OsRandom), array::<16>(&OsRandom));
    }
}
