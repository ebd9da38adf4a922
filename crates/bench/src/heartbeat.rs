//! Heartbeats a second, against what PostgreSQL alone can do: everything that the measurement starts.

pub(crate) mod pgbench;
pub(crate) mod report;
pub(crate) mod server;

use std::process::Stdio;

use tokio::process::Command;

use crate::error::Error;

/// Runs a program to its end and gives what it printed.
pub(crate) async fn output(command: &mut Command) -> Result<String, Error> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let failed = |what: String| Error::Program { name: name.clone(), what };
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| failed(error.to_string()))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(failed(said(&output.stderr))) }
}
