//! Checks that need no run: formatting, lints, documentation, dependencies.

use std::{path::PathBuf, process::Command};

use crate::{
    config::Config,
    error::Error,
    report::{Report, Tally},
    run::{announce, cargo, run},
    test,
};

/// The version of cargo-deny that is installed where there is none.
const CARGO_DENY: &str = "0.20.2";

/// Checks everything.
pub(crate) fn check(config: &Config) -> Report {
    let mut report = Report::default();
    report.step("format", || test::format(config));
    report.step("lints", || test::lints(config));
    report.step("documentation", || {
        let mut command = cargo(config, ["doc", "--workspace", "--no-deps", "--document-private-items"]);
        run(command.env("RUSTDOCFLAGS", "-D warnings"))
    });
    if let Some(program) = report.step("cargo-deny", || cargo_deny(config)) {
        let deny =
            |arguments: &[&str]| run(Command::new(&program).current_dir(&config.checkout).args(arguments));
        report.step("bans, licenses, sources", || {
            deny(&["check", "--hide-inclusion-graph", "bans", "licenses", "sources"])
        });
        if deny(&["fetch", "db"]).is_ok() {
            report.step("advisories", || deny(&["check", "--disable-fetch", "advisories"]));
        } else {
            announce("the advisory database can't be fetched here: advisories are not checked");
            report.add("advisories", Tally::SKIPPED);
        }
    }
    report
}

/// Finds cargo-deny, or installs it among the tools.
fn cargo_deny(config: &Config) -> Result<PathBuf, Error> {
    let tools = config.cache.join("tools");
    let own = tools.join("bin/cargo-deny");
    if let Some(program) = config.find_program("cargo-deny").or_else(|| own.is_file().then(|| own.clone())) {
        return Ok(program);
    }
    announce("installing cargo-deny, once; it takes some minutes");
    let mut install = cargo(config, ["install", "cargo-deny", "--locked", "--version", CARGO_DENY]);
    // Not into the project's own target folder.
    install.arg("--root").arg(&tools).env("CARGO_TARGET_DIR", tools.join("target"));
    run(&mut install)?;
    // A leftover only takes room.
    let _ = std::fs::remove_dir_all(tools.join("target"));
    Ok(own)
}
