//! `install`.

use edge::testing::{TestEdge, TestMachine};
use protocol::InstallId;
use serde_json::json;

use crate::Site;

/// A site where so many machines are activated under one license.
async fn with_installs(machines: u64, knobs: &str) -> (Site, Vec<InstallId>) {
    let site = Site::new().await;
    let license = site.database.license(1, knobs, 5).await;
    let server = TestEdge::new(&site.database, 1, |_| auth::router()).await;
    let mut installs = Vec::new();
    for machine in 0..machines {
        let agent = TestMachine::new(machine).activate(&server, &license.key).await.unwrap();
        installs.push(agent.install);
    }
    (site, installs)
}

#[tokio::test]
async fn an_install_is_shown_with_decision_ladder_and_fingerprint() {
    let (site, installs) = with_installs(1, "{}").await;
    let shown = site.json(&["install", "show", &installs[0].to_string()]);
    assert_eq!(shown["id"], json!(installs[0]));
    assert_eq!((&shown["status"], &shown["holds_seat"]), (&json!("active"), &json!(true)));
    assert_eq!(shown["agent"], json!({ "version": "1.4.2", "platform": "linux-x86_64" }));
    assert_eq!(shown["activated_at"], "2026-09-21T14:15:23Z");
    assert_eq!(shown["fingerprint"]["bound"], json!(TestMachine::new(0).fingerprint));
    for member in ["state", "rule", "reason", "next_heartbeat", "token_ttl", "at"] {
        assert!(!shown["decision"][member].is_null(), "{member}");
    }
    assert!(shown["ladder"].is_array());
    assert!(
        site.says(&["install", "show", &installs[0].to_string()]).output.contains("last heard of 2026-09-21")
    );
}

#[tokio::test]
async fn an_install_is_explained_by_every_rule_its_components_its_seat_and_a_remedy() {
    let (site, installs) = with_installs(1, r#"{"min_agent_version": "2.0.0"}"#).await;
    let said = site.says(&["install", "show", &installs[0].to_string()]).output;
    for part in [
        "remedy: ",
        "judged by version 1 of profile test-1",
        "holds seat 1; 1 of the license's 5 seats are taken",
        "its secret was handed out, and not used yet",
        "board_serial",
        "matches",
        "RULE  HOLDS",
        "13    ",
        "14    no",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("decides").count(), 1, "{said}");
}

#[tokio::test]
async fn every_action_is_done_and_done_twice_is_done() {
    let (site, installs) = with_installs(1, r#"{"require_approval": "yes"}"#).await;
    let id = installs[0].to_string();
    assert_eq!(site.json(&["install", "show", &id])["status"], "pending");
    for (action, status) in [
        ("approve", "active"),
        ("suspend", "suspended"),
        ("reset", "suspended"),
        ("rebind", "suspended"),
        ("resume", "active"),
        ("revoke", "revoked"),
    ] {
        for _ in 0..2 {
            assert_eq!(site.json(&["install", action, &id])["status"], status, "{action}");
        }
    }
    assert_eq!(site.json(&["install", "show", &id])["holds_seat"], false);
    for action in ["approve", "suspend", "resume", "reset", "rebind"] {
        let said = site.says(&["install", action, &id]);
        assert!(said.code == Some(4) && said.error.contains("is revoked, and that is final"), "{said:?}");
    }
}

#[tokio::test]
async fn a_fingerprint_is_bound_that_is_given() {
    let (site, installs) = with_installs(1, "{}").await;
    let given = json!(TestMachine::new(9).fingerprint);
    let rebind = ["install", "rebind", &installs[0].to_string(), "--fingerprint", &given.to_string()];
    assert_eq!(site.json(&rebind)["fingerprint"]["bound"], given);
    for wrong in ["{}", "[]", r#"{"mac": "short"}"#, r#"{"MAC": "x"}"#] {
        let said = site.says(&["install", "rebind", &installs[0].to_string(), "--fingerprint", wrong]);
        assert_eq!(said.code, Some(2), "{wrong}: {said:?}");
    }
}

#[tokio::test]
async fn installs_are_listed_by_license_a_page_at_a_time() {
    let (site, mut installs) = with_installs(3, "{}").await;
    installs.sort();
    let license = site.json(&["install", "list"])[0]["license_id"].as_str().unwrap().to_owned();
    let ids = |arguments: &[&str]| -> Vec<String> {
        let page = site.json(&[&["install", "list"], arguments].concat());
        page.as_array().unwrap().iter().map(|install| install["id"].as_str().unwrap().to_owned()).collect()
    };
    let expected: Vec<_> = installs.iter().map(ToString::to_string).collect();
    assert_eq!(ids(&["--license-id", &license]), expected);
    assert_eq!(ids(&["--limit", "2"]), expected[..2]);
    assert_eq!(ids(&["--limit", "2", "--after", &expected[1], "--license-id", &license]), expected[2..]);
    assert_eq!(ids(&["--license-id", &expected[0]]), [""; 0], "no license's");
}

#[tokio::test]
async fn what_a_machine_calls_itself_can_not_play_with_the_operators_terminal() {
    let (site, installs) = with_installs(1, "{}").await;
    let forged = r"UPDATE installs SET name = E'\u001B[2Jx\nfake  active', agent_version = E'1\u009b31m'";
    site.database.run(forged).await;
    for arguments in [&["install", "list"][..], &["install", "show", &installs[0].to_string()]] {
        let said = site.says(arguments).output;
        assert!(said.contains("[2Jx"), "{said:?}");
        assert!(!said.contains(|character: char| character.is_control() && character != '\n'), "{said:?}");
        assert!(!said.lines().any(|line| line.starts_with("fake")), "{said:?}");
    }
}

#[tokio::test]
async fn what_is_done_to_many_installs_of_a_license_is_done_to_each_or_to_none() {
    let (site, installs) = with_installs(3, "{}").await;
    let license = site.json(&["license", "list"])[0]["id"].as_str().unwrap().to_owned();
    let ids: Vec<String> = installs.iter().map(ToString::to_string).collect();
    let of = |action: &str, more: &[&str]| {
        site.says(&[&["install", action, "--license-id", &license, "--json"], more].concat())
    };
    assert_eq!(of("suspend", &["--all"]).json()["changed"], 3);
    let resumed = of("resume", &[&ids[0], &ids[2]]).json();
    assert_eq!((&resumed["changed"], &resumed["unchanged"]), (&json!(2), &json!(0)));
    site.json(&["install", "revoke", &ids[1]]);
    let refused = of("suspend", &[&ids[0], &ids[1]]);
    assert!(
        refused.code == Some(4) && refused.error.contains(&format!("/install_ids/1 {} is revoked", ids[1])),
        "{refused:?}"
    );
    assert_eq!(site.json(&["install", "show", &ids[0]])["status"], "active");
    let said = site.says(&["install", "reset", "--license-id", &license, "--all"]).output;
    assert!(said.starts_with("changed 2 installs; 0 were that already\n"), "{said}");
    for arguments in [
        &["install", "suspend"][..],
        &["install", "suspend", &ids[0], &ids[2]],
        &["install", "suspend", "--all"],
        &["install", "suspend", "--license-id", &license],
        &["install", "suspend", "--license-id", &license, "--all", &ids[0]],
    ] {
        assert_eq!(site.says(arguments).code, Some(2), "{arguments:?}");
    }
}
