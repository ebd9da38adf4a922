//! What the machine's clocks show.

use protocol::{
    ambient::{Clock, SystemClock},
    request,
};
use serde::{Deserialize, Serialize};

use crate::platform;

/// The machine's clocks, read at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The wall clock in Unix seconds; whoever owns the machine may have set it to anything.
    pub unix: i64,
    /// A clock in milliseconds that nobody sets and that counts through sleep.
    pub monotonic_ms: i64,
    /// What tells one start of the machine from the next, `[A-Za-z0-9-]{1,64}`.
    pub boot_id: String,
}

impl Reading {
    /// The milliseconds since an earlier reading, if they were measured: the machine wasn't restarted in between.
    pub fn measured_since(&self, earlier: &Self) -> Option<i64> {
        let passed = self.monotonic_ms.saturating_sub(earlier.monotonic_ms);
        (self.boot_id == earlier.boot_id && passed >= 0).then_some(passed)
    }
}

impl From<Reading> for request::Clock {
    fn from(Reading { unix, monotonic_ms, boot_id }: Reading) -> Self {
        Self { unix, monotonic_ms, boot_id }
    }
}

/// Reads the machine's clocks.
pub trait Clocks: Send + Sync {
    /// What they show now.
    fn read(&self) -> Reading;
}

/// The clocks of the machine that this runs on.
#[derive(Debug)]
pub struct SystemClocks {
    boot_id: String,
}

impl SystemClocks {
    /// The machine's clocks. Where it doesn't tell one start from the next, every process counts as a new one:
    /// `otherwise` then names it.
    pub fn new(otherwise: &str) -> Self {
        let boot_id: String = platform::boot_id().unwrap_or_else(|| otherwise.to_owned());
        let valid = |character: &char| character.is_ascii_alphanumeric() || *character == '-';
        Self { boot_id: boot_id.chars().filter(valid).take(64).collect() }
    }
}

impl Clocks for SystemClocks {
    fn read(&self) -> Reading {
        Reading {
            unix: SystemClock.unix_seconds(),
            monotonic_ms: platform::monotonic_ms(),
            boot_id: self.boot_id.clone(),
        }
    }
}
