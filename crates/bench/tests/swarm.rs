//! The swarm against a server in memory.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod fake;

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use fake::{Fake, Mood};
use protocol::{LicenseKey, ambient::OsRandom, ambient::array};
use serde_json::Value;

/// A folder of one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn keys(&self, count: usize) -> PathBuf {
        let key = |_| format!("{}\n", *LicenseKey::generate(array(&OsRandom)).printed());
        let path = self.0.join("keys");
        fs::write(&path, (0..count).map(key).collect::<String>()).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn swarm(server: &str, keys: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qubictether-bench"));
    command.args(["swarm", "--server", server, "--product", "acme.vault", "--license-keys"]);
    command.arg(keys).args(more);
    command
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn acknowledged(path: &Path) -> HashMap<String, u64> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split_once(' ').unwrap());
    lines.map(|(install, counter)| (install.to_owned(), counter.parse().unwrap())).collect()
}

#[test]
fn a_closed_loop_beats_with_proofs_that_verify_and_verifies_every_token() {
    let (fake, folder) = (Fake::start(Mood::Fair), Folder::new("closed"));
    let (file, root) = (folder.0.join("acknowledged"), fake.root.to_string());
    let more = ["--installs", "20", "--concurrency", "4", "--seconds", "1", "--verify", &root];
    let output = swarm(&fake.url, &folder.keys(4), &more).arg("--acknowledged").arg(&file).output().unwrap();
    let report = report(&output);
    assert!(output.status.success(), "{output:?}");

    assert_eq!(fake.activations(), [5; 4], "installs are spread over the licenses");
    let beats = &report["heartbeats"];
    assert_eq!(beats["accepted"], fake.heartbeats());
    assert_eq!(beats["by_status"], serde_json::json!({ "200": fake.heartbeats() }));
    assert_eq!(beats["tokens_verified"], fake.heartbeats());
    assert_eq!(beats["latency_us"]["p50"].as_u64().map(|p50| p50 > 0), Some(true));
    assert_eq!(fake.heartbeats(), 180, "9 of each, and then it waits for its quota");
    assert!(beats["waits_for_quota"].as_u64().unwrap() > 0);
    assert_eq!(acknowledged(&file), fake.counters());
}

#[test]
fn an_open_loop_sends_at_its_rate() {
    let (fake, folder) = (Fake::start(Mood::Fair), Folder::new("open"));
    let more = ["--installs", "60", "--concurrency", "8", "--seconds", "1", "--rate", "250"];
    let output = swarm(&fake.url, &folder.keys(1), &more).output().unwrap();
    let beats = &report(&output)["heartbeats"];
    assert_eq!(beats["attempts"].as_u64().unwrap() + beats["unsent"].as_u64().unwrap(), 250, "{beats}");
    assert_eq!(beats["accepted"], beats["attempts"]);
    assert_eq!(beats["waits_for_quota"], 0);
}

#[test]
fn refusals_are_counted_and_it_goes_on() {
    let (fake, folder) = (Fake::start(Mood::Overloaded), Folder::new("overloaded"));
    let more = ["--installs", "30", "--concurrency", "3", "--seconds", "1"];
    let output = swarm(&fake.url, &folder.keys(2), &more).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let beats = &report(&output)["heartbeats"];
    assert_eq!(beats["by_status"], serde_json::json!({ "200": 180, "503": 90 }));
    assert_eq!(beats["by_code"], serde_json::json!({ "overloaded": 90 }));
    assert!(beats["refused_latency_us"]["max"].as_u64().is_some());
}

#[test]
fn an_answer_to_another_request_fails_the_measurement() {
    let (fake, folder) = (Fake::start(Mood::Wrong), Folder::new("wrong"));
    let root = fake.root.to_string();
    let more = ["--installs", "5", "--concurrency", "1", "--seconds", "1", "--verify", &root];
    let output = swarm(&fake.url, &folder.keys(1), &more).output().unwrap();
    assert_eq!(report(&output)["heartbeats"]["wrong_answers"], 40, "all but the first of each");
    assert!(!output.status.success());
}

#[test]
fn too_few_installs_are_refused_before_anything_is_sent() {
    let (fake, folder) = (Fake::start(Mood::Fair), Folder::new("few"));
    let keys = folder.keys(1);
    for (more, says) in [
        (["--installs", "10", "--concurrency", "5", "--seconds", "5", "--rate", "25"], "need 13 installs"),
        (
            ["--installs", "10", "--concurrency", "11", "--seconds", "5", "--rate", "1"],
            "need as many installs",
        ),
        (["--installs", "10", "--concurrency", "5", "--seconds", "5", "--rate", "0"], "a positive number"),
    ] {
        let output = swarm(&fake.url, &keys, &more).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(says), "{said}");
    }
    assert!(fake.activations().is_empty());
}

#[test]
fn until_a_signal_it_goes_on_and_then_tells_what_was_acknowledged() {
    let (fake, folder) = (Fake::start(Mood::Fair), Folder::new("signal"));
    let file = folder.0.join("acknowledged");
    let more = ["--installs", "10", "--concurrency", "2", "--until-signal", "--acknowledged"];
    let mut child = swarm(&fake.url, &folder.keys(1), &more)
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("activated 10 installs"), "{said}");
    while fake.heartbeats() < 50 {
        std::thread::yield_now();
    }
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(kill.success() && output.status.success());
    let (told, known) = (acknowledged(&file), fake.counters());
    assert!(report(&output)["heartbeats"]["accepted"].as_u64().unwrap() >= 48);
    assert_eq!(told.len(), 10);
    for (install, counter) in told {
        assert!(counter <= known[&install], "what is acknowledged is known to the server");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let folder = Folder::new("nobody");
    let output = swarm("https://127.0.0.1:1", &folder.keys(1), &[]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("not a base URL"));
}
