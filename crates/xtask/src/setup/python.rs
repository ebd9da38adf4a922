//! Python packages, each set in an environment of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    config::Config,
    error::Error,
    run::{run, succeeds},
};

/// The packages that tests compare with: makes their environment, unless it is there; returns its interpreter.
pub(super) fn install(config: &Config) -> Result<PathBuf, Error> {
    let environment = Environment {
        name: "python",
        requirements: "crates/jose-jwt/tests/interop/requirements.txt",
        options: &[],
    };
    environment.install(config, Path::new("python3"))
}

/// schemathesis, which calls the admin API in all ways that its document allows and in many that it doesn't: makes its
/// environment, unless it is there; returns its interpreter.
pub(super) fn install_schemathesis(config: &Config) -> Result<PathBuf, Error> {
    let environment = Environment {
        name: "schemathesis",
        requirements: "tests/schemathesis/requirements.txt",
        options: &["--only-binary=:all:"],
    };
    environment.install(config, Path::new("python3"))
}

/// LocalStack, the emulated AWS: makes its environment, unless it is there; returns its interpreter.
pub(super) fn install_localstack(config: &Config) -> Result<PathBuf, Error> {
    let environment = Environment {
        name: "localstack",
        requirements: "localstack/requirements.txt",
        // What is locked is what is installed, and nothing of it runs before that.
        options: &["--require-hashes", "--only-binary=:all:", "--no-compile"],
    };
    let candidates = ["python3", "python3.13", "python3.12", "python3.11"];
    let python = candidates.into_iter().find(|python| is_for_localstack(python)).ok_or_else(|| {
        Error::missing(
            "LocalStack wants Python 3.11, 3.12 or 3.13 with venv, and none of them is on the PATH",
            "install one: Debian 12 and 13 have python3 and python3-venv, elsewhere `pyenv install 3.13` makes one",
        )
    })?;
    environment.install(config, Path::new(python))
}

fn is_for_localstack(python: &str) -> bool {
    let check = "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))";
    succeeds(Command::new(python).args(["-c", check]))
}

/// An environment of packages.
struct Environment {
    /// Its folder in the tools' folder.
    name: &'static str,
    /// What it has to have, with versions: a file of the checkout.
    requirements: &'static str,
    /// Of pip's.
    options: &'static [&'static str],
}

impl Environment {
    /// Makes it, unless it is there and has what it has to have; returns its interpreter.
    fn install(&self, config: &Config, maker: &Path) -> Result<PathBuf, Error> {
        let requirements = config.checkout.join(self.requirements);
        let wanted = fs::read_to_string(&requirements).map_err(Error::io("read", &requirements))?;
        let folder = config.cache.join(self.name);
        let python = folder.join("bin/python");
        // Written last, so that what was interrupted is made anew.
        let stamp = folder.join("requirements.txt");
        let is_current = fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
        // The interpreter is a link, which a newer Python on the machine may have left dangling.
        if is_current && succeeds(Command::new(&python).arg("--version")) {
            return Ok(python);
        }
        run(Command::new(maker).args(["-m", "venv", "--clear"]).arg(&folder))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        run(pip.args(self.options).arg("--requirement").arg(&requirements))?;
        fs::write(&stamp, wanted).map_err(Error::io("write", stamp))?;
        Ok(python)
    }
}
