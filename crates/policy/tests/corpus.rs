//! Scenarios as JSON lines, each with its name and what is to be said of it: `corpus/rules.jsonl` shows each rule
//! decisive, `corpus/unreadable.jsonl` what no answer is given to, and which member is named.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use policy::json::{error_line, evaluate_line, ladder_line};
use serde_json::Value;

fn lines(corpus: &str) -> impl Iterator<Item = Value> {
    corpus.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn every_scenario_is_judged_as_it_says() {
    let mut decisive = [false; 15];
    for scenario in lines(include_str!("corpus/rules.jsonl")) {
        let (name, line) = (&scenario["name"], scenario.to_string());
        let decision: Value = serde_json::from_str(&evaluate_line(line.as_bytes()).unwrap()).unwrap();
        assert_eq!(decision, scenario["decision"], "{name}");
        let ladder: Value = serde_json::from_str(&ladder_line(line.as_bytes()).unwrap()).unwrap();
        assert_eq!(ladder, scenario["ladder"], "{name}");
        decisive[usize::try_from(decision["rule"].as_u64().unwrap()).unwrap()] = true;
    }
    assert!(decisive[1..].iter().all(|rule| *rule), "each rule is decisive somewhere: {decisive:?}");
}

#[test]
fn a_line_that_can_not_be_read_is_answered_by_what_is_wrong_with_it() {
    for scenario in lines(include_str!("corpus/unreadable.jsonl")) {
        let name = &scenario["name"];
        let fault = evaluate_line(scenario["line"].as_str().unwrap().as_bytes()).unwrap_err();
        let answer: Value = serde_json::from_str(&error_line(&fault)).unwrap();
        let said = answer["error"].as_str().unwrap();
        assert!(said.contains(scenario["member"].as_str().unwrap()), "{name}: {said}");
    }
}

#[test]
fn bytes_that_are_no_text_are_an_unreadable_line() {
    assert!(evaluate_line(b"\xff\xfe").is_err() && ladder_line(b"{\"facts\":\"\xff\"}").is_err());
}

#[test]
fn a_line_that_is_no_object_is_told_what_it_is() {
    for line in ["3", "[]", "null"] {
        let fault = evaluate_line(line.as_bytes()).unwrap_err();
        assert!(fault.detail.contains("expected an object"), "{line}: {fault:?}");
    }
}
