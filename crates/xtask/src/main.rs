//! The one front door for whoever develops: `cargo xtask help`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod bench;
mod check;
mod config;
mod error;
mod lambda;
mod localstack;
mod openapi;
mod report;
mod run;
mod setup;
mod test;
mod up;

use std::{error::Error as _, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{bench::Bench, config::Config, error::Error, report::Report};

/// Sets up, runs, tests, checks and measures qubictether; works from any folder of the checkout.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
#[command(after_help = "\
Tools and test environments go to ~/.cache/qubictether, or to the folder that QT_CACHE names; nothing is written into
the checkout but cargo's target folder.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what this machine lacks: PostgreSQL, a C compiler, PgBouncer, Python packages and cargo-lambda for the
    /// tests, the wasm32 target.
    ///
    /// On Debian, as root or by sudo, it uses apt; elsewhere it says what to install. What is there already is left
    /// alone, so a second run takes no time. `up` and `test` run it by themselves.
    Setup,
    /// Run a server with a private PostgreSQL and one real agent on this machine, until Ctrl-C.
    ///
    /// Makes keys, an enforcement profile, a license and an install, and shows the agent's beats as they come. All of
    /// it stays in one folder, from which the next run goes on; remove the folder to begin anew.
    Up {
        /// Where everything is kept [default: dev in the tools' folder; as root /var/lib/qubictether-dev].
        #[arg(long, value_name = "FOLDER")]
        dev_dir: Option<std::path::PathBuf>,
    },
    /// Run everything that must pass; the last line says how many tests passed and failed.
    ///
    /// Formatting, lints and builds for the browser count as one test each. The tests get a PostgreSQL of their own,
    /// which goes when they are done.
    Test {
        /// Only the tests whose name contains this, without lints and browser builds.
        filter: Option<String>,
    },
    /// Check formatting, lints, documentation, and the dependencies' licenses and advisories.
    Check,
    /// Write the admin API's OpenAPI document, docs/openapi.json, as the code has it.
    Openapi,
    /// Make the Lambda functions' zips, in `lambda` in cargo's target folder; prints their sizes and the newest glibc
    /// that they need.
    BuildLambda {
        /// The processor of the functions.
        #[arg(long, value_enum, default_value_t = lambda::Arch::X86_64)]
        arch: lambda::Arch,
    },
    /// Run the Lambda functions on this machine, at `http://127.0.0.1:9000/lambda-url/NAME`, until Ctrl-C.
    ///
    /// They serve the database of `cargo xtask up`, which has to run meanwhile in another terminal, and are built
    /// again when the code changes.
    Lambda {
        /// Where `up` keeps everything [default: as there].
        #[arg(long, value_name = "FOLDER")]
        dev_dir: Option<std::path::PathBuf>,
        /// Where they listen.
        #[arg(long, default_value_t = 9000)]
        port: u16,
    },
    /// Run an emulated AWS on this machine, and the Lambda functions in it with keys that its KMS wraps, until Ctrl-C.
    ///
    /// LocalStack, without Docker and without an account; a private PostgreSQL; the functions behind their function
    /// URLs, and behind one origin for agents. Everything stays in one folder, from which the next run goes on.
    Localstack(localstack::Localstack),
    /// Measure, in an optimized build.
    Bench {
        /// What to measure.
        #[arg(value_enum)]
        name: Bench,
        /// Passed on to the measuring program.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = Config::from_environment().and_then(|config| match Arguments::parse().command {
        Command::Setup => Ok(finish(&setup::all(&config).report)),

        Command::Up { dev_dir } => up::up(&config, dev_dir).map(|()| true),
        Command::Test { filter } => {
            let report = test::test(&config, filter.as_deref());
            println!("\n{report}\n{}", report.total());
            Ok(report.is_good())
        }
        Command::Check => Ok(finish(&check::check(&config))),
        Command::Openapi => openapi::openapi(&config).map(|()| true),
        Command::BuildLambda { arch } => lambda::build(&config, arch).map(|()| true),
        Command::Lambda { dev_dir, port } => lambda::watch(&config, dev_dir, port).map(|()| true),
        Command::Localstack(arguments) => localstack::localstack(&config, &arguments).map(|()| true),
        Command::Bench { name, arguments } => bench::bench(&config, name, &arguments).map(|()| true),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Shows how it went; whether well.
fn finish(report: &Report) -> bool {
    println!("\n{report}");
    report.is_good()
}

/// Prints an error and its causes.
fn complain(error: &Error) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}
