//! cargo-lambda, which makes the Lambda functions' zips and runs them on this machine, in an environment of its own.

use std::{path::PathBuf, process::Command};

use crate::{
    config::Config,
    error::Error,
    run::{run, succeeds},
};

/// The version, from Python's registry.
const CARGO_LAMBDA: &str = "cargo-lambda==1.9.2";

/// The C compiler and linker by which it builds for the oldest systems: large, and needed by zips alone.
const ZIG: &str = "ziglang==0.17.1";

/// Installs it, unless it is there; returns its program.
pub(crate) fn install(config: &Config) -> Result<PathBuf, Error> {
    let (folder, python) = environment(config);
    let program = folder.join("bin/cargo-lambda");
    // The interpreter is a link, which a newer Python on the machine may have left dangling.
    if !program.is_file() || !succeeds(Command::new(&python).arg("--version")) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        pip_install(&python, CARGO_LAMBDA)?;
    }
    Ok(program)
}

/// Installs it and what makes zips; returns its program, and the folder in which it finds zig.
pub(crate) fn install_to_build(config: &Config) -> Result<(PathBuf, PathBuf), Error> {
    let program = install(config)?;
    let (folder, python) = environment(config);
    if !succeeds(Command::new(&python).args(["-m", "ziglang", "version"])) {
        pip_install(&python, ZIG)?;
    }
    Ok((program, folder.join("bin")))
}

fn environment(config: &Config) -> (PathBuf, PathBuf) {
    let folder = config.cache.join("cargo-lambda");
    let python = folder.join("bin/python");
    (folder, python)
}

fn pip_install(python: &PathBuf, what: &str) -> Result<(), Error> {
    let quietly = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", what];
    run(Command::new(python).args(quietly))
}
