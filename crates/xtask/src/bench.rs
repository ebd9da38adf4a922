//! Measures.

use std::process::Command;

use clap::ValueEnum;

use crate::{
    config::Config,
    error::Error,
    lambda,
    run::{cargo, run, target_folder},
};

/// What can be measured.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Bench {
    /// The engine: one judgement, one ladder.
    Policy,
    /// Proofs, bodies, claims.
    Protocol,
    /// Signing, verifying, encrypting, decrypting.
    Jose,
    /// What verifying, judging and signing a heartbeat costs beside its bare cryptography.
    Cpu,
    /// From the start of each Lambda binary to its first answer, beside one that only says hello.
    ColdStart,
    /// Heartbeats a second of a server and a PostgreSQL of its own, beside `pgbench` with the bare statements.
    Heartbeat,
    /// Ten times the heartbeats that a server can hold.
    Overload,
    /// The admin API and heartbeats over a large database that is made for it.
    Admin,
}

/// Measures one of them, in an optimized build.
pub(crate) fn bench(config: &Config, name: Bench, arguments: &[String]) -> Result<(), Error> {
    let package = match name {
        Bench::Policy => "policy",
        Bench::Protocol => "protocol",
        Bench::Jose => "jose-jwt",
        Bench::Cpu => return program(config, "cpu", arguments),
        Bench::ColdStart => {
            let folder = lambda::build_to_compare(config)?;
            let folder = folder.to_string_lossy().into_owned();
            return program(
                config,
                "cold-start",
                &[&["--lambda-dir".to_owned(), folder], arguments].concat(),
            );
        }
        Bench::Heartbeat => return program(config, "heartbeat", arguments),
        Bench::Overload => return program(config, "overload", arguments),
        Bench::Admin => return program(config, "admin", arguments),
    };
    run(cargo(config, ["bench", "--package", package, "--benches", "--"]).args(arguments))
}

/// The measuring program, which starts the server that it finds beside itself.
fn program(config: &Config, what: &str, arguments: &[String]) -> Result<(), Error> {
    // One by one: built together, the server would have what the measuring program alone takes of their crates.
    for package in ["qubictether", "qubictether-bench"] {
        run(&mut cargo(config, ["build", "--release", "--package", package]))?;
    }
    let program = target_folder(config)?.join("release/qubictether-bench");
    run(Command::new(program).arg(what).args(arguments))
}
