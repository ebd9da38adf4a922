//! The agent against servers that are honest, and servers that aren't.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod activation;
#[cfg(target_os = "linux")]
mod faketime;
mod fleet;
mod folder;
mod heartbeat;
mod hostile;
mod keys;
mod lease;
mod lease_believed;
#[cfg(unix)]
mod lease_program;
mod leasing;
mod machine;
mod model;
mod network;
mod offline;
#[cfg(unix)]
mod program;
mod rig;
mod run;
mod secret;
mod server;
#[cfg(unix)]
mod site;
mod time;
