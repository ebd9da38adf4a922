//! `qubictether-agent lease …`

use std::{
    fs,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use qubictether_agent::{Builder, Error, Status};

use crate::{
    arguments::{LeaseCommand, Term, TermArguments},
    exit::Failure,
    license_key, print, say, write_line,
};

/// A longer answer is none.
const MAX_REPLY: u64 = 1024 * 1024;

/// Does what was asked about leases.
pub(crate) async fn perform(
    builder: Builder,
    state: &Path,
    command: LeaseCommand,
) -> Result<ExitCode, Failure> {
    match command {
        LeaseCommand::Take(TermArguments { term: Term(seconds) }) => {
            let status = builder.open(state).take_lease(seconds).await?;
            print(&status)?;
            if status.lease.is_none() {
                return Err(Failure::Other(
                    "a lease was granted, but a newer decision holds that knows nothing of it; take it again"
                        .into(),
                ));
            }
            say(&format!("leased: {}", held(&status)));
        }
        LeaseCommand::Status { json: _ } => {
            let status = builder.open(state).status()?;
            if status.state.is_none() {
                return Err(Error::NotActivated.into());
            }
            print(&status)?;
            say(&held(&status));
        }
        LeaseCommand::Return => {
            let status = builder.open(state).return_lease().await.map_err(Failure::of_return)?;
            print(&status)?;
            say("returned; take another with: qubictether-agent lease take");
        }
        LeaseCommand::Request { file, term: TermArguments { term: Term(seconds) }, key } => {
            let builder = builder.keep_license_key(key.keep_key);
            let builder = match license_key(&key)? {
                Some(license_key) => builder.license_key(license_key),
                None => builder,
            };
            let request = builder.open(state).request_offline(seconds).await?;
            write_request(&file, &request)?;
            say("requested; have the operator answer it, then run: qubictether-agent lease import FILE");
        }
        LeaseCommand::Import { file } => {
            let reply = read_reply(&file)?;
            let status = builder.open(state).import_offline(&reply).await.map_err(Failure::of_import)?;
            print(&status)?;
            say(&format!("imported: {}", held(&status)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The lease and its end, in words.
fn held(status: &Status) -> String {
    let Some(lease) = &status.lease else {
        return "no lease is in force; take one: qubictether-agent lease take".into();
    };
    let left = lease.until.saturating_sub(status.at);
    let (days, hours, minutes) = (left / 86_400, left / 3600 % 24, left / 60 % 60);
    format!("{} until {} (in {days} d {hours} h {minutes} min)", lease.id, lease.until)
}

fn write_request(file: &Path, request: &str) -> Result<(), Failure> {
    if file.as_os_str() == "-" {
        return write_line(request);
    }
    let failed = |error| Failure::Other(format!("{} can't be written: {error}", file.display()));
    fs::write(file, format!("{request}\n")).map_err(failed)
}

fn read_reply(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        io::stdin().take(MAX_REPLY).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(MAX_REPLY).read_to_string(&mut text))
    };
    let failed = |error| Failure::Usage(format!("{} can't be read: {error}", file.display()));
    read.map_err(failed).map(|_| text)
}
