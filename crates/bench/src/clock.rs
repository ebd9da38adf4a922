//! The server's time, as an agent knows it.

use std::{cell::Cell, time::Instant};

/// The time of the latest answer, going on with the monotonic clock (`docs/protocol.md`, "What an agent keeps and
/// does"). One for all agents of a swarm.
#[derive(Debug)]
pub(crate) struct ServerClock {
    start: Instant,
    /// The server's Unix milliseconds at `start`.
    offset_ms: Cell<i64>,
}

impl ServerClock {
    /// A clock of a server that hasn't answered yet.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), offset_ms: Cell::new(0) }
    }

    /// Sets it by an answer's `server_time`.
    pub(crate) fn set(&self, unix_seconds: i64) {
        // Within the second that an answer names nothing is known; the clock is moved only out of it.
        if self.unix_seconds() != unix_seconds {
            self.offset_ms.set(unix_seconds.saturating_mul(1000).saturating_sub(self.passed_ms()));
        }
    }

    /// The server's Unix milliseconds, about.
    pub(crate) fn unix_millis(&self) -> i64 {
        self.offset_ms.get().saturating_add(self.passed_ms())
    }

    /// The server's Unix seconds.
    pub(crate) fn unix_seconds(&self) -> i64 {
        self.unix_millis().div_euclid(1000)
    }

    /// Milliseconds on the monotonic clock.
    pub(crate) fn passed_ms(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}
