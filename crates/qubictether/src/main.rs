//! The operator's program: `serve`, and commands over the same use cases.

mod access;
mod account;
mod audit;
mod backup;
mod backup_check;
mod config;
mod dev;
mod dry_run;
mod error;
mod explain;
mod hold;
mod import;
mod import_plan;
mod init;
mod install;
mod keygen;
mod keys;
mod lease;
mod license;
mod listen;
mod output;
mod policy_lines;
mod profile;
mod rewrap;
mod serve;
mod site;
mod telemetry;
mod webhook;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Flags;
use crate::error::Error;
use crate::site::Site;

/// The license server qubictether, and the operator's commands.
///
/// Every command but `policy` needs a database and its keys: from the environment (`QT_DATABASE_URL`, `QT_KEK_FILE`), from
/// the flags of the same names, or from the folder of a development server (--dev-dir).
#[derive(Parser)]
#[command(name = "qubictether", version, max_term_width = 100, after_help = AFTER)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Try it:
  qubictether serve --dev                       a server with a PostgreSQL of its own
  qubictether --dev-dir DIR profile create --name standard
  qubictether --dev-dir DIR license create --product acme-render --customer \"Example Ltd\" --max-installs 5

Exit status: 0 done, 1 failed, 2 usage or bad input, 3 not found, 4 conflict or refused, 5 database or keys not available.";

#[derive(Subcommand)]
enum Command {
    /// Serve every function in one process, until SIGTERM.
    Serve(serve::Serve),
    /// Bring the database's schema up to this program's, and make the audit log's partitions.
    Migrate,
    /// Migrate, make the keys and the first owner; prints the root key's public half, which agents are shipped with.
    Init(init::Init),
    /// Enforcement profiles: the knobs by which installs are judged.
    #[command(subcommand)]
    Profile(profile::Command),
    /// Licenses.
    #[command(subcommand)]
    License(license::Command),
    /// Installs.
    #[command(subcommand)]
    Install(install::Command),
    /// Offline leases, and machines that are never online.
    #[command(subcommand)]
    Lease(lease::Command),
    /// The incident hold: while it is on, no breach takes any install below grace.
    #[command(subcommand)]
    Hold(hold::Command),
    /// The keys that sign, and the root that vouches for them.
    #[command(subcommand)]
    Keys(keys::Command),
    /// What belongs to backups of the database.
    #[command(subcommand)]
    Backup(backup::Command),
    /// Bring what another license server has.
    #[command(subcommand)]
    Import(import::Command),
    /// People who may sign in to the admin API.
    #[command(subcommand)]
    User(access::UserCommand),
    /// Scripts' keys to the admin API.
    #[command(subcommand)]
    ApiKey(access::ApiKeyCommand),
    /// Who is told of changes, and what became of the telling.
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// The admin audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// The policy engine over JSON lines: facts and profiles in, answers out.
    #[command(subcommand)]
    Policy(policy_lines::Command),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.flags, arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            error.exit_code()
        }
    }
}

#[tokio::main]
async fn run(flags: &Flags, command: Command) -> Result<(), Error> {
    let json = flags.json;
    match command {
        Command::Serve(serve) => serve::run(flags, &serve).await,
        Command::Migrate => init::migrate(flags).await,
        Command::Init(init) => init::init(flags, &init).await,
        Command::Profile(command) => profile::run(&Site::open(flags).await?.store, command, json).await,
        Command::License(command) => license::run(&Site::open(flags).await?.store, command, json).await,
        Command::Install(command) => install::run(&Site::open(flags).await?.store, command, json).await,
        Command::Lease(command) => lease::run(flags, command).await,
        Command::Hold(command) => hold::run(&Site::open(flags).await?.store, command, json).await,
        Command::Keys(command) => keys::run(flags, command).await,
        Command::Backup(command) => backup::run(flags, &command).await,
        Command::Import(command) => import::run(&Site::open(flags).await?.store, command, json).await,
        Command::User(command) => access::user(&Site::open(flags).await?.store, command, json).await,
        Command::ApiKey(command) => access::api_key(&Site::open(flags).await?.store, command, json).await,
        Command::Webhook(command) => webhook::run(flags, command).await,
        Command::Audit(command) => audit::run(&Site::open(flags).await?.store, command, json).await,
        Command::Policy(command) => policy_lines::run(&command),
    }
}
