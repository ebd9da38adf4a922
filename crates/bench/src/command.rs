//! The commands.

pub(crate) mod admin;
pub(crate) mod cold_start;
pub(crate) mod cpu;
pub(crate) mod heartbeat;
pub(crate) mod overload;
pub(crate) mod swarm;

use std::io::{self, Write as _};

use serde::Serialize;

/// Says on standard error how far it is.
pub(crate) fn progress(line: &str) {
    // Who closed standard error doesn't want to know.
    _ = writeln!(io::stderr(), "{line}");
}

/// Prints what was measured.
pub(crate) fn print(report: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    writeln!(io::stdout(), "{text}")
}
