//! A machine whose clocks the tests turn.

use std::sync::Mutex;

use qubictether_agent::clock::{Clocks, Reading};

/// Clocks that stand until they are turned.
pub(crate) struct HandClocks(Mutex<Reading>);

impl HandClocks {
    pub(crate) fn at(unix: i64) -> Self {
        Self(Mutex::new(Reading { unix, monotonic_ms: 5000, boot_id: "boot-1".into() }))
    }

    /// Time passes.
    pub(crate) fn pass(&self, seconds: i64) {
        let mut reading = self.0.lock().unwrap();
        reading.unix += seconds;
        reading.monotonic_ms += seconds * 1000;
    }

    /// Somebody sets the wall clock.
    pub(crate) fn turn(&self, seconds: i64) {
        self.0.lock().unwrap().unix += seconds;
    }

    /// The machine is off for so long.
    pub(crate) fn restart(&self, off: i64) {
        let mut reading = self.0.lock().unwrap();
        reading.unix += off;
        reading.monotonic_ms = 1000;
        reading.boot_id.push('1');
    }
}

impl Clocks for HandClocks {
    fn read(&self) -> Reading {
        self.0.lock().unwrap().clone()
    }
}
