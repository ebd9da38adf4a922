//! Installs over HTTP: listed by what the engine says of them, explained, approved, suspended, reset, rebound.

use edge::testing::TestMachine;
use protocol::admin::Role;
use protocol::proof::Operation;
use serde_json::{Value, json};

use super::{Client, pointers};
use crate::World;

/// The installs that a query lists, by the numbers of their machines.
async fn listed(client: &Client, query: &str) -> Vec<String> {
    let page = client.get(&format!("/installs?{query}")).await.json();
    let id = |install: &Value| install["id"].as_str().unwrap().to_owned();
    page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter().map(id).collect()
}

#[tokio::test]
async fn an_installs_page_says_why_by_all_fourteen_rules_and_what_would_mend_it() {
    let world = World::with(r#"{"silence_grace": 600, "silence_degraded": 600}"#, 5).await;
    let viewer = world.script(Role::Viewer).await;
    let agent = world.agent(1).await;
    world.pass(3_600 + 60);
    let shown = viewer.get(&format!("/installs/{}", agent.install)).await;
    assert_eq!(shown.headers["etag"], "\"1\"");
    let shown = shown.json();
    let decision = json!({ "state": "grace", "rule": 11, "reason": "out_of_contact", "next_heartbeat": 300,
                           "token_ttl": 900, "at": "2026-09-21T15:16:23Z" });
    assert_eq!((&shown["decision"], &shown["state"]), (&decision, &json!("grace")));
    let ladder = json!([
        { "at": "2026-09-21T15:25:23Z", "state": "degraded", "rule": 10, "reason": "out_of_contact" },
        { "at": "2026-09-21T15:35:23Z", "state": "locked", "rule": 9, "reason": "out_of_contact" },
    ]);
    assert_eq!(shown["ladder"], ladder);
    let trace = shown["trace"].as_array().unwrap();
    let rules: Vec<_> = trace.iter().map(|rule| rule["rule"].as_i64().unwrap()).collect();
    assert_eq!(rules, (1..=14).collect::<Vec<_>>());
    let first = trace.iter().find(|rule| rule["matched"] == true).unwrap();
    assert_eq!(first["rule"], 11, "the first that holds has decided");
    assert!(
        first["because"].as_str().unwrap().contains("out_of_contact began 2026-09-21T15:15:23Z"),
        "{first}"
    );
    assert!(shown["remedy"].as_str().unwrap().contains("reaches the server"));
    assert_eq!(viewer.get("/installs/01920000-0000-7000-8000-000000000000").await.word(), "404 not_found");
}

#[tokio::test]
async fn lists_filter_by_the_state_that_the_ladder_gave_a_minute_ago_at_most_without_any_beat() {
    let world = World::new().await;
    let viewer = world.script(Role::Viewer).await;
    let silent = world.agent(1).await;
    world.pass(1);
    let mut beating = world.agent(2).await;
    let (silent, beats) = (silent.install.to_string(), beating.install.to_string());
    assert_eq!(listed(&viewer, "state=authorized").await, [silent.clone(), beats.clone()]);
    for _ in 0..13 {
        world.pass(300);
        assert_eq!(beating.beat(&world.server).await.word(), "200 authorized");
    }
    assert_eq!(listed(&viewer, "state=grace").await, [silent.as_str()], "nobody has heard of it for an hour");
    assert_eq!(listed(&viewer, "state=authorized").await, [beats.as_str()]);
    assert_eq!(listed(&viewer, "silent_since=2026-09-21T14:30:00Z").await, [silent.as_str()]);
    world.pass(604_800);
    assert_eq!(listed(&viewer, "state=degraded").await, [silent], "the next rung");
    assert_eq!(beating.beat(&world.server).await.word(), "200 authorized");
    assert_eq!(listed(&viewer, "state=authorized").await, [beats], "a beat says it at once");
}

#[tokio::test]
async fn a_beat_writes_its_state_only_when_it_is_told_another() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    world.server.edge.store.sweep().await.unwrap();
    let row = "SELECT xmin || ' ' || state FROM install_states";
    let before = world.database.value(row).await;
    for _ in 0..3 {
        world.pass(300);
        agent.beat(&world.server).await;
    }
    assert_eq!(world.database.value(row).await, before, "the same, so nothing was written");
    agent.skew = 4_000;
    agent.beat(&world.server).await;
    assert!(world.database.value(row).await.ends_with("warned"));
}

#[tokio::test]
async fn what_is_done_to_a_license_or_a_profile_shows_in_its_installs_with_the_next_sweep() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let install = world.agent(1).await.install.to_string();
    assert_eq!(listed(&operator, "state=authorized").await, [install.as_str()]);
    operator.post(&format!("/licenses/{}/suspend", world.license.id), &json!({})).await;
    world.pass(60);
    assert_eq!(listed(&operator, "state=suspended").await, [install.as_str()]);
    operator.post(&format!("/licenses/{}/resume", world.license.id), &json!({})).await;
    let profile = world.database.value("SELECT id FROM profiles").await;
    let drafted = operator
        .post(&format!("/profiles/{profile}/versions"), &json!({ "knobs": { "min_agent_version": "9.0.0" } }))
        .await;
    assert_eq!(drafted.status, 201);
    operator.post(&format!("/profiles/{profile}/versions/2/publish"), &json!({})).await;
    world.pass(60);
    assert_eq!(listed(&operator, "state=warned").await, [install]);
    assert_eq!(world.database.value("SELECT count(*) FROM restatements").await, "0", "all is worked off");
}

#[tokio::test]
async fn lists_filter_by_license_status_name_and_are_walked_in_pages() {
    let world = World::with(r#"{"require_approval": {"after_first": 2}}"#, 9).await;
    let operator = world.script(Role::Operator).await;
    let mut ids = Vec::new();
    for number in 0..4 {
        world.pass(1);
        let machine = TestMachine::new(number);
        let mut body = machine.activation(&world.license.key, &machine.nonce());
        body["name"] = json!(format!("build-host-{number}"));
        let answer = world.server.post("/v1/activate", None, body.to_string()).await;
        ids.push(answer.json()["install_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(listed(&operator, "status=pending").await, ids[2..]);
    operator.post(&format!("/installs/{}/suspend", ids[0]), &json!({})).await;
    assert_eq!(listed(&operator, "status=suspended").await, ids[..1], "at once");
    assert_eq!(listed(&operator, "status=active").await, ids[1..2]);
    assert_eq!(listed(&operator, &format!("license_id={}&state=pending", world.license.id)).await, ids[2..]);
    assert_eq!(listed(&operator, "license_id=01920000-0000-7000-8000-000000000000").await, [""; 0]);
    assert_eq!(listed(&operator, "q=build+3").await, ids[3..]);
    let first = operator.get("/installs?limit=3").await.json();
    let rest = listed(&operator, &format!("limit=3&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!(rest, ids[3..]);
    let refused = operator.get("/installs?state=fine&status=x&silent_since=1&license_id=2").await;
    assert_eq!(pointers(&refused), ["/license_id", "/state", "/status", "/silent_since"]);
}

#[tokio::test]
async fn each_action_reaches_the_next_beat_and_the_audit_log_and_done_twice_is_done() {
    let world = World::with(r#"{"require_approval": "yes"}"#, 1).await;
    let operator = world.script(Role::Operator).await;
    let mut agent = world.agent(1).await;
    let path = format!("/installs/{}", agent.install);
    for (action, status, word) in [
        ("approve", "active", "200 authorized"),
        ("approve", "active", "200 authorized"),
        ("suspend", "suspended", "200 suspended"),
        ("resume", "active", "200 authorized"),
        ("revoke", "revoked", "200 revoked"),
        ("revoke", "revoked", "200 revoked"),
    ] {
        let done = operator.post(&format!("{path}/{action}"), &json!({})).await;
        assert_eq!((done.status, &done.json()["status"]), (200, &json!(status)), "{action}");
        assert_eq!(agent.beat(&world.server).await.word(), word, "{action}");
    }
    for action in ["approve", "suspend", "resume", "reset", "rebind"] {
        assert_eq!(
            operator.post(&format!("{path}/{action}"), &json!({})).await.word(),
            "409 conflict",
            "{action}"
        );
    }
    let log = operator.get("/audit?resource=install").await.json();
    let actions: Vec<_> = log["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["install.revoke", "install.resume", "install.suspend", "install.approve"]);
    assert_eq!(log["items"][3]["before"]["status"], "pending");
    world.agent(2).await;
}

#[tokio::test]
async fn a_reset_and_a_rebinding_clear_what_they_say_with_a_body_or_without() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let mut agent = world.agent(1).await;
    let path = format!("/installs/{}", agent.install);
    agent.machine = TestMachine::with_components([7, 8, 9]);
    assert_eq!(agent.beat(&world.server).await.word(), "200 locked");
    assert_eq!(listed(&operator, "state=locked").await.len(), 1);
    assert_eq!(operator.post(&format!("{path}/rebind"), &Value::Null).await.status, 200, "what was observed");
    assert_eq!(listed(&operator, "state=authorized").await.len(), 1);
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    let given = json!({ "fingerprint": TestMachine::new(1).fingerprint });
    let rebound = operator.post(&format!("{path}/rebind"), &given).await.json();
    assert_eq!(rebound["fingerprint"]["bound"], given["fingerprint"]);
    let refused = operator.post(&format!("{path}/rebind"), &json!({ "fingerprint": {} })).await;
    assert_eq!(pointers(&refused), ["/fingerprint"]);
    assert_eq!(operator.post(&format!("{path}/reset"), &json!({})).await.status, 200);
    assert_eq!(agent.beat(&world.server).await.word(), "401 invalid_proof", "the secret is dead");
}

#[tokio::test]
async fn one_that_leaves_is_listed_as_deactivated() {
    let world = World::new().await;
    let viewer = world.script(Role::Viewer).await;
    let mut agent = world.agent(1).await;
    assert_eq!(agent.ask(&world.server, "/v1/deactivate", &Operation::Deactivate).await.status, 204);
    assert_eq!(listed(&viewer, "status=deactivated").await, [agent.install.to_string()]);
    assert_eq!(listed(&viewer, "status=active").await, [""; 0]);
}
