//! A swarm of simulated agents against any server, and what it measures. `docs/benchmarks.md` says what each figure
//! means.

mod activation;
mod admin;
mod answer;
mod clock;
mod command;
mod error;
mod far;
mod folder;
mod heartbeat;
mod install;
mod process;
mod swarm;
mod tally;
mod target;

use std::process::ExitCode;

use clap::Parser;
use tokio::{runtime, task::LocalSet};

use crate::{
    command::{
        admin::AdminArgs, cold_start::ColdStartArgs, cpu::CpuArgs, heartbeat::HeartbeatArgs,
        overload::OverloadArgs, progress, swarm::SwarmArgs,
    },
    error::Error,
};

/// Measures qubictether servers. Every command prints one JSON object.
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    /// Simulated agents against any base URL: each activates once, then beats with real proofs.
    Swarm(Box<SwarmArgs>),
    /// Heartbeats a second of a server and a PostgreSQL that are started for it, against `pgbench` with the bare two
    /// statements of one heartbeat.
    Heartbeat(HeartbeatArgs),
    /// Ten times the load that a server can hold: how much it still does, how soon it refuses the rest.
    Overload(OverloadArgs),
    /// The admin API and heartbeats over a large database that is made for it.
    Admin(AdminArgs),
    /// What one heartbeat costs in processor time without HTTP and database, against the bare cryptography in it.
    Cpu(CpuArgs),
    /// From the start of each Lambda binary to its first answer, beside a function that only says hello.
    ColdStart(ColdStartArgs),
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                message = format!("{message}: {cause}");
                source = cause.source();
            }
            progress(&format!("qubictether-bench: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Swarm(args) => LocalSet::new().block_on(&runtime, args.run()),
        Command::Cpu(args) => args.run(),
        Command::ColdStart(args) => runtime.block_on(args.run()),
        Command::Admin(args) => LocalSet::new().block_on(&runtime, args.run()),
        Command::Overload(args) => LocalSet::new().block_on(&runtime, args.run()),
        Command::Heartbeat(args) => LocalSet::new().block_on(&runtime, args.run()),
    }
}
