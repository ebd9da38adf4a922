//! The operator's program as scripts and people run it: what it prints, how it exits, what it says when it fails.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod access;
mod audit;
mod backup;
mod dev;
mod failures;
mod hold;
mod imports;
mod init;
mod installs;
mod keys;
mod leases;
mod licenses;
mod policy_lines;
mod profiles;
mod rewrap;
mod webhooks;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use store::testing::{KEK, TestDatabase};
use tempfile::TempDir;

/// What a command came to.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: Option<i32>,
    output: String,
    error: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), output: text(output.stdout), error: text(output.stderr) }
    }

    /// The one JSON value that a command prints that is done.
    fn json(&self) -> Value {
        assert_eq!((self.code, self.error.as_str()), (Some(0), ""), "{self:?}");
        assert_eq!(self.output.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.output).unwrap()
    }
}

/// The program, without what whoever runs the tests has set.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qubictether"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("QT_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// What it says to lines on standard input.
fn fed(command: &mut Command, input: &[u8]) -> Said {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Said::of(child.wait_with_output().unwrap())
}

/// A database with its keys, and the file of the key-encryption key.
struct Site {
    database: TestDatabase,
    folder: TempDir,
}

impl Site {
    async fn new() -> Self {
        let site = Self { database: TestDatabase::new().await, folder: TempDir::new().unwrap() };
        fs::write(site.kek_file(), KEK).unwrap();
        fs::set_permissions(site.kek_file(), Permissions::from_mode(0o600)).unwrap();
        site
    }

    /// A site in whose database there is nothing, and without a key-encryption key.
    async fn empty() -> Self {
        let site = Self::new().await;
        fs::remove_file(site.kek_file()).unwrap();
        site.database.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
        site
    }

    fn kek_file(&self) -> PathBuf {
        self.folder.path().join("kek")
    }

    fn operator(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .env("QT_DATABASE_URL", &self.database.url)
            .env("QT_KEK_FILE", self.kek_file())
            .args(arguments);
        command
    }

    fn says(&self, arguments: &[&str]) -> Said {
        Said::of(self.operator(arguments).output().unwrap())
    }

    /// What a command prints that is done, as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        self.says(&[arguments, &["--json"]].concat()).json()
    }
}
