//! `POST /v1/heartbeat`: judgements, tokens, what an operator's word does to the next beat.

use edge::testing::TestMachine;
use serde_json::json;
use store::testing::{ISSUER, START};

use crate::World;

#[tokio::test]
async fn a_beat_is_judged_and_its_token_answers_that_request() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    world.pass(300);
    let (proof, body) = agent.heartbeat(&world.server);
    let answer = world.server.post("/v1/heartbeat", Some(&proof), body).await;
    assert_eq!(answer.word(), "200 authorized");
    let (body, claims) = (answer.json(), answer.claims());
    assert_eq!(body["next_heartbeat_in"], 300);
    assert_eq!(body["server_time"], START + 300);
    for (claim, value) in [
        ("iss", json!(ISSUER)),
        ("sub", json!(agent.install)),
        ("aud", json!("acme-render")),
        ("lic", json!(world.license.id)),
        ("iat", json!(START + 300)),
        ("nbf", json!(START + 300)),
        ("exp", json!(START + 1200)),
        ("ctr", json!(1)),
        ("high", json!(1)),
        ("state", json!("authorized")),
        ("rule", json!(14)),
        ("reason", json!("ok")),
        ("nhb", json!(300)),
        ("ent", json!({ "edition": "pro" })),
        ("fpd", json!(agent.machine.fingerprint.fpd())),
        ("ksv", json!(1)),
    ] {
        assert_eq!(claims[claim], value, "{claim}");
    }
    let nonce = proof.split("nonce=").nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(claims["nonce"], nonce);
    assert_eq!(claims["ladder"][0], json!([START + 300 + 3600, "grace", 11, "out_of_contact"]));
    assert_eq!(claims["pro"]["version"], 1);
}

#[tokio::test]
async fn every_judged_beat_stands_in_the_audit_log() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    agent.beat(&world.server).await;
    agent.beat(&world.server).await;
    let log = "SELECT string_agg(operation || ' ' || outcome || ' ' || counter || ' ' || state || ' ' || rule, ', ' \
               ORDER BY counter) FROM heartbeats";
    assert_eq!(
        world.database.value(log).await,
        "activate accepted 0 authorized 14, heartbeat accepted 1 authorized 14, heartbeat accepted 2 authorized 14"
    );
}

#[tokio::test]
async fn what_an_operator_did_reaches_the_next_beat() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    for (statement, word, rule) in [
        ("UPDATE installs SET suspended_at = to_timestamp(1), revision = revision + 1", "200 suspended", 4),
        ("UPDATE licenses SET suspended_at = to_timestamp(1)", "200 suspended", 3),
        (
            "UPDATE installs SET revoked_at = to_timestamp(1789999999), revision = revision + 1",
            "200 revoked",
            2,
        ),
        ("UPDATE licenses SET revoked_at = to_timestamp(1)", "200 revoked", 1),
    ] {
        world.database.run(statement).await;
        let answer = agent.beat(&world.server).await;
        assert_eq!(
            (answer.word().as_str(), answer.claims()["rule"].as_i64()),
            (word, Some(rule)),
            "{statement}"
        );
    }
}

#[tokio::test]
async fn a_revoked_install_is_told_so_for_thirty_days() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let revoke = format!("UPDATE installs SET revoked_at = to_timestamp({START}), revision = revision + 1");
    world.database.run(&revoke).await;
    world.pass(30 * 86_400 - 1);
    assert_eq!(agent.beat(&world.server).await.word(), "200 revoked");
    world.pass(1);
    assert_eq!(agent.beat(&world.server).await.word(), "401 invalid_proof");
}

#[tokio::test]
async fn drift_is_warned_of_and_learned_a_component_a_day() {
    let world = World::with(r#"{"learn_drift": true, "min_match": 0.3}"#, 5).await;
    let mut agent = world.agent(1).await;
    agent.machine = TestMachine::with_components([8, 9, 1]);
    let bound = "SELECT bound FROM installs";
    let before = world.database.value(bound).await;
    let answer = agent.beat(&world.server).await;
    assert_eq!(
        (answer.word().as_str(), &answer.claims()["reason"]),
        ("200 warned", &json!("fingerprint_drift"))
    );
    assert_eq!(answer.claims()["fpd"], TestMachine::new(1).fingerprint.fpd(), "bound when this was judged");
    let learned = world.database.value(bound).await;
    assert_eq!(learned, TestMachine::with_components([8, 1, 1]).fingerprint.lines());
    assert_ne!(learned, before);
    agent.beat(&world.server).await;
    assert_eq!(world.database.value(bound).await, learned, "not twice in a day");
    world.pass(86_400);
    agent.beat(&world.server).await;
    assert_eq!(world.database.value(bound).await, agent.machine.fingerprint.lines());
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
}

#[tokio::test]
async fn a_clock_that_is_off_and_an_old_agent_are_warned_of() {
    let world = World::with(r#"{"min_agent_version": "1.4.3"}"#, 5).await;
    let mut agent = world.agent(1).await;
    assert_eq!(agent.beat(&world.server).await.claims()["reason"], "agent_outdated");
    agent.skew = -301;
    assert_eq!(agent.beat(&world.server).await.claims()["reason"], "clock_skew");
    (agent.skew, agent.version) = (300, "1.4.3".to_owned());
    assert_eq!(agent.beat(&world.server).await.claims()["reason"], "ok");
}

#[tokio::test]
async fn an_install_is_judged_once_in_five_seconds_and_ten_times_in_a_burst() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    for _ in 0..10 {
        assert_eq!(agent.beat(&world.server).await.status, 200);
    }
    let refused = agent.beat(&world.server).await;
    assert_eq!(refused.word(), "429 slow_down");
    assert!(refused.headers.contains_key("retry-after"));
    agent.counter -= 1;
    world.pass(5);
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized", "a refusal consumes no counter");
    assert_eq!(agent.beat(&world.server).await.word(), "429 slow_down");
}

#[tokio::test]
async fn heartbeats_that_wait_together_are_judged_in_their_order() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let mut other = world.agent(2).await;
    let beats: Vec<_> = (0..8).map(|_| agent.heartbeat(&world.server)).collect();
    let lone = other.heartbeat(&world.server);
    let mut waiting = tokio::task::JoinSet::new();
    for (place, (proof, body)) in beats.into_iter().chain([lone]).enumerate() {
        let server = world.server.clone();
        waiting.spawn(async move { (place, server.post("/v1/heartbeat", Some(&proof), body).await) });
    }
    while let Some(answered) = waiting.join_next().await {
        let (place, answer) = answered.unwrap();
        assert_eq!(answer.word(), "200 authorized", "{place}");
        let expected = if place == 8 { 1 } else { place + 1 };
        assert_eq!(answer.claims()["high"], expected, "each is judged by what came before it");
    }
}
