//! Packages of the operating system.

use std::{path::Path, process::Command};

use crate::{
    config::{Config, is_root},
    error::Error,
    run::{announce, run, succeeds},
};

/// Installs the packages that are missing for the tests, by apt.
pub(super) fn install(config: &Config) -> Result<(), Error> {
    let missing = [missing_to_run(config), missing_python(), missing_to_test(config)].concat();
    install_all(config, &missing)
}

/// Installs the packages that a server lacks to run.
pub(super) fn install_to_run(config: &Config) -> Result<(), Error> {
    install_all(config, &missing_to_run(config))
}

/// Installs the packages that a server and an emulated AWS lack to run.
pub(super) fn install_to_emulate(config: &Config) -> Result<(), Error> {
    install_all(config, &[missing_to_run(config), missing_python()].concat())
}

fn install_all(config: &Config, missing: &[&str]) -> Result<(), Error> {
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    announce(&format!("not on this machine: {names}"));
    let remedy = if config.find_program("apt-get").is_none() {
        format!("install what your system calls {names}")
    } else {
        format!("as root: apt-get update && apt-get install --yes --no-install-recommends {names}")
    };
    let refused = || Error::missing(format!("this needs {names}"), remedy);
    let apt = AptGet::find(config).ok_or_else(refused)?;
    // A list that can't be fetched may be of a source that has nothing to do with these.
    if run(apt.command().arg("update")).is_err() {
        announce("some package lists could not be fetched; going on with those that are there");
    }
    run(apt.command().args(["install", "--yes", "--no-install-recommends"]).args(missing))
}

/// Debian's names of what isn't here and a server needs.
fn missing_to_run(config: &Config) -> Vec<&'static str> {
    let mut names = Vec::new();
    if cluster::programs().is_err() {
        names.push("postgresql");
    }
    if config.find_program("cc").is_none() {
        names.push("build-essential");
    }
    names
}

/// Debian's name of what makes environments of Python packages, if it isn't here.
fn missing_python() -> Vec<&'static str> {
    let is_here = succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"]));
    if is_here { Vec::new() } else { vec!["python3-venv"] }
}

/// Debian's names of what isn't here and the tests need besides.
fn missing_to_test(config: &Config) -> Vec<&'static str> {
    let mut names = Vec::new();
    if config.find_program("faketime").is_none() {
        names.push("faketime");
    }
    // Debian puts it where only root's `PATH` leads.
    if config.find_program("pgbouncer").is_none() && !Path::new("/usr/sbin/pgbouncer").is_file() {
        names.push("pgbouncer");
    }
    for (program, package) in [("node", "nodejs"), ("npm", "npm")] {
        if config.find_program(program).is_none() {
            names.push(package);
        }
    }
    names
}

/// apt-get with the right to install.
struct AptGet {
    by_sudo: bool,
}

impl AptGet {
    fn find(config: &Config) -> Option<Self> {
        config.find_program("apt-get")?;
        let is_root = is_root();
        // Nothing is asked: without a password at hand there is nobody to give one, in CI for example.
        (is_root || succeeds(Command::new("sudo").args(["--non-interactive", "true"])))
            .then_some(Self { by_sudo: !is_root })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(if self.by_sudo { "sudo" } else { "env" });
        if self.by_sudo {
            command.args(["--non-interactive", "env"]);
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
        command
    }
}
