//! The agent's program.

mod arguments;
mod exit;
mod lease_commands;

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use arguments::{Arguments, Command, KeyArguments, LeaseCommand, SettingArguments};
use clap::Parser;
use exit::{Failure, of_status};
use protocol::ambient::{Clock, SystemClock};
use qubictether_agent::{Agent, Error, LicenseKey, Settings, Status, platform};
use zeroize::Zeroizing;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::Other(format!("no runtime: {error}")).exit(),
    };
    let result = runtime.block_on(perform(arguments));
    // A name that is still being resolved keeps nobody waiting.
    runtime.shutdown_background();
    result.unwrap_or_else(Failure::exit)
}

async fn perform(arguments: Arguments) -> Result<ExitCode, Failure> {
    let state = arguments.settings.state.clone().map_or_else(default_state, Ok)?;
    let Some(settings) = settings(&arguments.settings, &state)? else {
        return without_settings(&arguments.command);
    };
    if settings.server.is_exposed() && !arguments.command.is_by_file() {
        say("warning: the server's URL is plain http: whoever is on the way reads the license key");
    }
    let builder = Agent::builder(settings);
    match arguments.command {
        Command::Activate(key) => {
            let agent = builder.keep_license_key(key.keep_key).open(&state);
            let license_key = license_key(&key)?.ok_or_else(|| {
                Failure::Usage(
                    "a license key is needed: --license-key-file F, or - for standard input".into(),
                )
            })?;
            let status = agent.activate(&license_key).await.map_err(Failure::of_activation)?;
            print(&status)?;
            say(&format!("activated; now run: qubictether-agent run --state {}", state.display()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(key) => {
            let builder = builder.keep_license_key(key.keep_key);
            let builder = match license_key(&key)? {
                Some(license_key) => builder.license_key(license_key),
                None => builder,
            };
            let ended = async {
                if let Err(error) = platform::terminated().await {
                    say(&format!("signals can't be heard: {error}"));
                }
            };
            // Standard output that is closed is no reason not to beat.
            let report = |status: &Status| drop(print(status));
            builder.open(&state).run(ended, report).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Beat => {
            let agent = builder.open(&state);
            match agent.beat().await {
                Ok(status) => print(&status).map(|()| of_status(&status)),
                Err(error) => {
                    print(&agent.status()?)?;
                    Err(error.into())
                }
            }
        }
        Command::Status { json } => {
            let status = builder.open(&state).status()?;
            show(&status, json)?;
            Ok(of_status(&status))
        }
        Command::Lease(command) => lease_commands::perform(builder, &state, command).await,
        Command::Rekey => {
            builder.open(&state).rekey().await?;
            say("there is a new secret; the one before it dies at the next beat");
            Ok(ExitCode::SUCCESS)
        }
        Command::Deactivate => {
            builder.open(&state).deactivate().await?;
            say("deactivated; the seat is free");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The settings of the arguments and the environment, and where they say nothing those of the activation. `None`:
/// there is none, and not all that are needed were given.
fn settings(given: &SettingArguments, state: &Path) -> Result<Option<Settings>, Failure> {
    let kept = Settings::kept_in(state)?;
    let server = given.server.clone().or_else(|| kept.as_ref().map(|kept| kept.server.clone()));
    // An issuer is a server's URL; who is never online need not say the same thing twice.
    let server = server.or_else(|| given.issuer.clone());
    let product = given.product.clone().or_else(|| kept.as_ref().map(|kept| kept.product.clone()));
    let root_key = given.root_key.clone().or_else(|| kept.as_ref().map(|kept| kept.root_key.clone()));
    let (Some(server), Some(product), Some(root_key)) = (server, product, root_key) else { return Ok(None) };
    let mut settings = Settings::new(server, product, root_key);
    if let Some(kept) = kept {
        settings.fingerprint = kept.fingerprint;
        // An issuer that was kept goes with the server that was kept.
        if given.server.is_none() {
            settings.issuer = kept.issuer;
        }
    }
    if let Some(issuer) = &given.issuer {
        issuer.as_str().clone_into(&mut settings.issuer);
    }
    if let Some(fingerprint) = &given.fingerprint {
        settings.fingerprint = fingerprint.clone();
    }
    Ok(Some(settings))
}

/// What there is to say where nothing was ever activated.
fn without_settings(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Activate(_) => {
            Err(Failure::Usage("an activation needs --server, --product and --root-key".into()))
        }
        Command::Status { json } => {
            let status = Status::not_activated(SystemClock.unix_seconds());
            show(&status, *json)?;
            Ok(of_status(&status))
        }
        Command::Lease(LeaseCommand::Request { .. }) => {
            Err(Failure::Usage("a request needs --server, --product and --root-key".into()))
        }
        Command::Lease(LeaseCommand::Import { .. }) => Err(Failure::of_import(Error::UnknownReply)),
        _ => Err(Error::NotActivated.into()),
    }
}

/// The license key from where the arguments or the environment say, never from the arguments themselves.
fn license_key(arguments: &KeyArguments) -> Result<Option<LicenseKey>, Failure> {
    const MAX_FILE: u64 = 4096;
    let mut text = Zeroizing::new(String::new());
    let read = match &arguments.license_key_file {
        Some(path) if path.as_os_str() == "-" => io::stdin().take(MAX_FILE).read_to_string(&mut text),
        Some(path) => fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text)),
        None => match std::env::var("QT_AGENT_LICENSE_KEY") {
            Ok(key) => {
                *text = key;
                Ok(0)
            }
            Err(_) => return Ok(None),
        },
    };
    read.map_err(|error| Failure::Usage(format!("the license key can't be read: {error}")))?;
    let key = LicenseKey::parse(&text);
    key.map(Some).map_err(|error| Failure::Usage(format!("the license key is mistyped: {error}")))
}

/// `/var/lib/qubictether`, or for who isn't root `$XDG_STATE_HOME/qubictether`.
fn default_state() -> Result<PathBuf, Failure> {
    if platform::is_superuser() {
        return Ok("/var/lib/qubictether".into());
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    home.map(|home| home.join("qubictether"))
        .ok_or_else(|| Failure::Usage("where the state is has to be said: --state FOLDER".into()))
}

/// Shows what holds as a line of JSON, or for people.
fn show(status: &Status, json: bool) -> Result<(), Failure> {
    if json { print(status) } else { write_line(&exit::for_people(status)) }
}

fn print(status: &Status) -> Result<(), Failure> {
    write_line(&status.to_string())
}

fn write_line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|error| Failure::Other(format!("standard output: {error}")))
}

/// One line on standard error. Where nobody hears it, nothing can be done.
fn say(text: &str) {
    let _unheard = writeln!(io::stderr(), "qubictether-agent: {text}");
}
