//! `policy evaluate` and `policy ladder`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Said, fed, program};

fn line(silence: i64) -> String {
    json!({
        "facts": {
            "license_revoked": false, "install_revoked": false, "license_suspended": false,
            "install_suspended": false, "clone_suspected": false, "awaiting_approval": false,
            "license_start": 1, "license_end": null, "fingerprint": { "bound": {}, "observed": {} },
            "seats_exceeded_at": null, "last_contact": 1_790_000_000, "lease_end": null, "clock_skew": 0,
            "agent_version": "1.0.0",
        },
        "profile": {
            "min_match": 0.6, "weights": {}, "clone_action": "warn", "silence_tolerance": 3600,
            "silence_grace": 10, "silence_degraded": 10, "expiry_grace": 0, "expiry_degraded": 0,
            "overage_grace": 0, "overage_degraded": 0, "max_clock_skew": 300, "min_agent_version": null,
        },
        "at": 1_790_000_000 + silence,
    })
    .to_string()
}

fn states(said: &Said) -> Vec<Value> {
    let state = |line: &str| serde_json::from_str::<Value>(line).unwrap()["state"].clone();
    said.output.lines().map(state).collect()
}

#[test]
fn each_line_is_answered_by_a_line_in_order() {
    let input = [line(0), line(3600), line(3610), line(3620)].join("\n");
    let expected = ["authorized", "grace", "degraded", "locked"];
    for end in ["", "\n"] {
        let said = fed(program().args(["policy", "evaluate"]), format!("{input}{end}").as_bytes());
        assert_eq!((said.code, states(&said)), (Some(0), expected.map(Value::from).to_vec()), "{said:?}");
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("lines");
    fs::write(&file, input).unwrap();
    let said = Said::of(program().args(["policy", "evaluate"]).arg(&file).output().unwrap());
    assert_eq!((said.code, states(&said)), (Some(0), expected.map(Value::from).to_vec()), "{said:?}");
}

#[test]
fn a_ladder_is_drawn_of_each_line() {
    let said = fed(program().args(["policy", "ladder", "-"]), format!("{}\n", line(0)).as_bytes());
    let ladder = "[[1790003600,\"grace\",11,\"out_of_contact\"],[1790003610,\"degraded\",10,\"out_of_contact\"],\
                  [1790003620,\"locked\",9,\"out_of_contact\"]]\n";
    assert_eq!((said.code, said.output.as_str()), (Some(0), ladder));
}

#[test]
fn a_line_that_can_not_be_read_is_answered_as_such_and_the_run_goes_on() {
    let input = [b"nonsense\n\n\xff\n", line(0).as_bytes(), b"\n"].concat();
    let said = fed(program().args(["policy", "evaluate"]), &input);
    assert_eq!(said.code, Some(1));
    let answers: Vec<Value> = said.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 4, "{said:?}");
    assert!(answers[..3].iter().all(|answer| answer["error"].is_string()), "{said:?}");
    assert_eq!(answers[3]["state"], "authorized");
    assert!(said.error.lines().count() == 1 && said.error.contains('3'), "{said:?}");
}

#[test]
fn no_lines_are_no_answers() {
    assert_eq!(
        fed(program().args(["policy", "evaluate"]), b""),
        Said { code: Some(0), output: String::new(), error: String::new() }
    );
}

#[test]
fn who_waits_for_an_answer_before_the_next_line_gets_it() {
    let piped = program().args(["policy", "evaluate"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = piped.unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (answered, answers) = mpsc::channel();
    thread::spawn(move || BufReader::new(output).lines().try_for_each(|line| answered.send(line.unwrap())));
    for state in ["authorized", "grace"] {
        let silence = if state == "grace" { 3600 } else { 0 };
        writeln!(input, "{}", line(silence)).unwrap();
        let answer = answers.recv_timeout(Duration::from_secs(20)).expect("an answer, before the next line");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["state"], state);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}
