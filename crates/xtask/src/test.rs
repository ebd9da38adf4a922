//! Runs everything that must pass.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use cluster::{Cluster, Options};

use crate::{
    config::Config,
    error::Error,
    report::{Report, Tally},
    run::{announce, cargo, line, run, target_folder},
    setup::{self, Setup},
};

/// What a browser is to run, too.
const FOR_WASM: [&str; 3] = ["policy", "protocol", "jose-jwt"];

/// The tests of the admin API, which are run once more at its Lambda binary.
const OF_ADMIN: &str = "admin::";

/// Runs the tests whose name contains the filter; without one all, and the lints and browser builds.
pub(crate) fn test(config: &Config, filter: Option<&str>) -> Report {
    let mut setup = setup::all(config);
    let report = &mut setup.report;
    if filter.is_none() {
        report.step("format", || format(config));
        report.step("lints", || lints(config));
        for package in FOR_WASM {
            let arguments = ["build", "--target", "wasm32-unknown-unknown", "--package", package];
            report.step(&format!("browser build of {package}"), || run(&mut cargo(config, arguments)));
        }
    }
    // Tests of one package run the programs of others.
    report.step("programs", || run(&mut cargo(config, ["build", "--workspace", "--bins"])));
    announce("a private PostgreSQL for the tests");
    match started_cluster().and_then(|cluster| tests(config, &setup, &cluster, filter)) {
        Ok(tally) => setup.report.add("tests", tally),
        // Said as a step that fails, by which it is counted.
        Err(error) => drop(setup.report.step::<()>("tests", || Err(error))),
    }
    setup.report
}

/// Formatting as rustfmt would have it; names the files in which it isn't. `cargo fmt` makes it so.
pub(crate) fn format(config: &Config) -> Result<(), Error> {
    run(&mut cargo(config, ["fmt", "--all", "--", "--check", "--files-with-diff"]))
}

/// No warning of the compiler or of clippy.
pub(crate) fn lints(config: &Config) -> Result<(), Error> {
    run(&mut cargo(config, ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn started_cluster() -> Result<Cluster, Error> {
    let mut cluster = Cluster::temporary(Options::throwaway())?;
    cluster.start()?;
    Ok(cluster)
}

fn tests(config: &Config, setup: &Setup, cluster: &Cluster, filter: Option<&str>) -> Result<Tally, Error> {
    let mut command = cargo(config, ["test", "--workspace", "--no-fail-fast"]);
    command.args(filter);
    command.env("QT_TEST_DATABASE_URL", cluster.url("postgres"));
    command.env("QT_BIN_DIR", target_folder(config)?.join("debug"));
    if let Some(python) = &setup.python {
        command.env("QT_PYTHON", python);
    }
    if let Some(localstack) = &setup.localstack {
        command.env("QT_LOCALSTACK_PYTHON", localstack);
    }
    if let Some(schemathesis) = &setup.schemathesis {
        command.env("QT_SCHEMATHESIS_PYTHON", schemathesis);
    }
    if let Some(cargo_lambda) = &setup.cargo_lambda {
        command.env("QT_CARGO_LAMBDA", cargo_lambda);
    }
    if let Some(jose) = &setup.jose {
        command.env("QT_JOSE", jose);
    }
    announce(&line(&command));
    let mut tally = stream(&mut command)?;
    if filter.is_none_or(|filter| filter.starts_with("admin")) {
        let of_admin =
            ["test", "--package", "conformance", "--test", "functions", filter.unwrap_or(OF_ADMIN)];
        let mut again = cargo(config, of_admin);
        again.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        again.env("QT_ADMIN_FUNCTION", "lambda");
        announce(&format!("once more, the admin API at its Lambda binary: {}", line(&again)));
        tally += stream(&mut again)?;
    }
    Ok(tally)
}

/// Runs the tests, shows what they print, and sums what their runners say.
fn stream(command: &mut Command) -> Result<Tally, Error> {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(Error::io("run", command.get_program()))?;
    let mut sum = Tally::default();
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(|output| output.split(b'\n')) {
        let line = line.map_err(Error::io("read", "the tests' output"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        sum += result_of(&line).unwrap_or_default();
    }
    let status = child.wait().map_err(Error::io("wait for", "the tests"))?;
    // A runner that crashed, or that didn't compile, says nothing of its tests.
    if !status.success() && sum.failed == 0 {
        sum += Tally::FAILED;
    }
    Ok(sum)
}

/// What a runner of Rust's says last: `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; …`.
fn result_of(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| {
        let mut pairs = counts.split("; ").filter_map(|pair| pair.split_once(' '));
        pairs.find(|(_, name)| *name == what)?.0.parse().ok()
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

#[cfg(test)]
mod tests_of_this {
    use super::*;

    #[test]
    fn a_runner_is_taken_at_its_word() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.01s";
        assert_eq!(result_of(line), Some(Tally { passed: 5, failed: 2, skipped: 1 }));
        for other in ["test result::tests::a ... ok", "test result: ok.", "running 5 tests", ""] {
            assert_eq!(result_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_runners_say_is_summed_and_a_silent_death_is_a_failure() {
        let shell = |script: &str| stream(Command::new("sh").args(["-c", script])).unwrap();
        let one = "echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out';";
        assert_eq!(shell(&format!("{one}{one}")), Tally { passed: 6, failed: 0, skipped: 2 });
        assert_eq!(shell(&format!("{one} exit 101")), Tally { passed: 3, failed: 1, skipped: 1 });
    }
}
