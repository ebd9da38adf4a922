//! `serve --dev`: a newcomer's first command.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Said, program};

/// Starts a development server, and waits until it listens.
fn serve(folder: &Path) -> (Child, Value) {
    let mut command = program();
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--log", "warn", "--dev-dir"]).arg(folder);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

fn end(mut server: Child) {
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
}

#[test]
fn it_makes_all_that_it_needs_and_goes_on_with_it_the_next_time() {
    // PostgreSQL runs as an account of its own where this is root's, and has to get in.
    let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let operate = |arguments: &[&str]| {
        let mut command = program();
        Said::of(command.args(arguments).arg("--json").arg("--dev-dir").arg(folder.path()).output().unwrap())
    };
    let (server, hello) = serve(folder.path());
    assert!(hello["listening"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{hello}");
    for secret in ["dev.env", "kek"] {
        let mode = fs::metadata(folder.path().join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{secret}");
    }
    assert_eq!(operate(&["init"]).json()["root_public_key"], hello["root_public_key"]);
    let made = operate(&["profile", "create", "--name", "standard"]).json();
    end(server);
    let away = operate(&["profile", "list"]);
    assert_eq!(away.code, Some(5), "its PostgreSQL ends with it: {away:?}");

    let (server, again) = serve(folder.path());
    assert_eq!(again["root_public_key"], hello["root_public_key"]);
    assert_eq!(operate(&["profile", "list"]).json()[0]["id"], made["id"]);
    end(server);
}
