//! Installs what this machine lacks.

pub(crate) mod cargo_lambda;
mod node;
mod python;
mod system;
mod wasm;

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
};

use crate::{config::Config, error::Error, report::Report, run::announce};

/// What was set up.
pub(crate) struct Setup {
    /// How each part went.
    pub(crate) report: Report,
    /// The Python interpreter that has the tests' packages.
    pub(crate) python: Option<PathBuf>,
    /// The Python interpreter that has LocalStack.
    pub(crate) localstack: Option<PathBuf>,
    /// The Python interpreter that has schemathesis.
    pub(crate) schemathesis: Option<PathBuf>,
    /// The program cargo-lambda.
    pub(crate) cargo_lambda: Option<PathBuf>,
    /// The folder of the tests' npm packages.
    pub(crate) jose: Option<PathBuf>,
}

/// Sets up everything. What fails says so and stops nothing else.
pub(crate) fn all(config: &Config) -> Setup {
    let mut report = Report::default();
    // Held until the end: a second setup at the same time waits for the first, and then finds everything there.
    // A folder that can't be written shows in the steps that write into it.
    let _alone = lock(config);
    report.step("system packages", || system::install(config));
    let python = report.step("Python packages", || python::install(config));
    let localstack = report.step("LocalStack", || python::install_localstack(config));
    let schemathesis = report.step("schemathesis", || python::install_schemathesis(config));
    let cargo_lambda = report.step("cargo-lambda", || cargo_lambda::install(config));
    let jose = report.step("npm packages", || node::install(config));
    report.step("wasm32 target", || wasm::install(config));
    Setup { report, python, localstack, schemathesis, cargo_lambda, jose }
}

/// Sets up what a server needs to run.
pub(crate) fn to_run(config: &Config) -> Result<(), Error> {
    announce("system packages");
    system::install_to_run(config)
}

/// Sets up what an emulated AWS needs to run; returns the Python interpreter that has LocalStack.
pub(crate) fn to_emulate(config: &Config) -> Result<PathBuf, Error> {
    let _alone = lock(config);
    announce("system packages");
    system::install_to_emulate(config)?;
    announce("LocalStack");
    python::install_localstack(config)
}

fn lock(config: &Config) -> io::Result<File> {
    fs::create_dir_all(&config.cache)?;
    let file = File::create(config.cache.join("setup.lock"))?;
    file.lock()?;
    Ok(file)
}
