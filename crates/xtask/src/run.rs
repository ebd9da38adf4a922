//! Running programs, and saying so.

use std::{
    fmt::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{config::Config, error::Error};

/// Says what happens now.
pub(crate) fn announce(what: &str) {
    println!("==> {what}");
}

/// Runs a command to its end, its output going where this program's goes.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    announce(&line(command));
    let status = command.stdin(Stdio::null()).status().map_err(Error::io("run", command.get_program()))?;
    if status.success() { Ok(()) } else { Err(Error::Failed { command: line(command), status }) }
}

/// Runs a command quietly and returns its standard output; what it says on standard error is shown.
pub(crate) fn read(command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(Error::io("run", command.get_program()))?;
    if !output.status.success() {
        return Err(Error::Failed { command: line(command), status: output.status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a command ends well; nothing is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Cargo in the checkout.
pub(crate) fn cargo<const N: usize>(config: &Config, arguments: [&str; N]) -> Command {
    let mut command = Command::new(&config.cargo);
    command.current_dir(&config.checkout).args(arguments);
    for name in &config.cargos_own {
        command.env_remove(name);
    }
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder(config: &Config) -> Result<PathBuf, Error> {
    let text = read(&mut cargo(config, ["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata = json(&text)?;
    let folder = metadata["target_directory"].as_str().map(PathBuf::from);
    folder.ok_or(Error::Unexpected { what: "cargo's metadata", found: text })
}

/// Reads JSON that a program printed.
pub(crate) fn json(text: &str) -> Result<serde_json::Value, Error> {
    serde_json::from_str(text)
        .map_err(|_| Error::Unexpected { what: "the JSON of a program", found: text.to_owned() })
}

/// A command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program()).to_string_lossy();
    command.get_args().fold(name.into_owned(), |mut line, argument| {
        write!(line, " {}", argument.to_string_lossy()).expect("writing to a string doesn't fail");
        line
    })
}
