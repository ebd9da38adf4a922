//! `POST /v1/activate`: new machines, the same machine again, retries, approval, and keys that activate nothing.

use edge::testing::{TestAgent, TestEdge, TestMachine};
use protocol::LicenseKey;
use serde_json::{Value, json};
use store::testing::START;

use crate::World;

async fn post(server: &TestEdge, body: &Value) -> edge::testing::Answer {
    server.post("/v1/activate", None, body.to_string()).await
}

#[tokio::test]
async fn an_activation_answers_with_a_secret_and_a_decision_of_counter_0() {
    let world = World::new().await;
    let machine = TestMachine::new(1);
    let nonce = machine.nonce();
    let answer = post(&world.server, &machine.activation(&world.license.key, &nonce)).await;
    assert_eq!(answer.word(), "201 authorized");
    let (body, claims) = (answer.json(), answer.claims());
    assert_eq!((&body["counter"], &body["license_id"]), (&json!(0), &json!(world.license.id)));
    assert_eq!((&claims["ctr"], &claims["high"], &claims["nonce"]), (&json!(0), &json!(0), &json!(nonce)));
    assert_eq!(claims["sub"], body["install_id"]);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(answer.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn the_same_machine_again_gets_its_install_a_new_secret_and_counter_0() {
    let world = World::new().await;
    let mut before = world.agent(1).await;
    before.counter = 500;
    assert_eq!(before.beat(&world.server).await.status, 200);
    world.pass(3600);
    let mut again = world.agent(1).await;
    assert_eq!(again.install, before.install);
    assert_ne!(again.secret, before.secret);
    assert_eq!(before.beat(&world.server).await.word(), "401 invalid_proof", "the old secret is dead");
    assert_eq!(again.beat(&world.server).await.claims()["high"], 1);
}

#[tokio::test]
async fn the_best_match_wins_and_below_min_match_it_is_another_machine() {
    let world = World::new().await;
    let first = world.agent(1).await;
    let second = TestMachine::with_components([1, 2, 2]);
    let second = second.activate(&world.server, &world.license.key).await.unwrap();
    assert_ne!(second.install, first.install, "one of three is below 0.6");
    let closer = TestMachine::with_components([1, 2, 9]);
    let closer = closer.activate(&world.server, &world.license.key).await.unwrap();
    assert_eq!(closer.install, second.install, "two of three against one of three");
}

#[tokio::test]
async fn where_no_score_tells_machines_apart_only_an_equal_fingerprint_is_the_same() {
    let weightless = r#"{"weights": {"board_serial": 0, "mac": 0, "machine_id": 0}}"#;
    for knobs in [r#"{"min_match": 0}"#, weightless] {
        let world = World::with(knobs, 5).await;
        let first = world.agent(1).await;
        let like = TestMachine::with_components([1, 1, 2]);
        assert_ne!(
            like.activate(&world.server, &world.license.key).await.unwrap().install,
            first.install,
            "{knobs}"
        );
        assert_eq!(world.agent(1).await.install, first.install, "{knobs}");
    }
}

#[tokio::test]
async fn a_retry_counts_nothing_and_the_secret_before_it_serves_until_the_newest_is_used() {
    let world = World::with(r#"{"reactivations_per_month": 0}"#, 5).await;
    let machine = TestMachine::new(1);
    let body = machine.activation(&world.license.key, &machine.nonce());
    let mut lost = TestAgent::of(machine.clone(), &post(&world.server, &body).await);
    world.pass(599);
    let mut retried = TestAgent::of(machine.clone(), &post(&world.server, &body).await);
    assert_eq!(retried.install, lost.install);
    assert_ne!(retried.secret, lost.secret);
    assert_eq!(lost.beat(&world.server).await.status, 200, "it may have been this one that arrived");
    retried.counter = lost.counter;
    assert_eq!(retried.beat(&world.server).await.status, 200);
    lost.counter = retried.counter;
    assert_eq!(lost.beat(&world.server).await.word(), "401 invalid_proof");
    world.pass(600);
    assert_eq!(post(&world.server, &body).await.word(), "409 reactivation_limit", "ten minutes are over");
}

#[tokio::test]
async fn reactivations_are_bounded_over_thirty_days_and_a_reset_makes_the_next_one_free() {
    let world = World::with(r#"{"reactivations_per_month": 1}"#, 5).await;
    world.agent(1).await;
    world.pass(1);
    world.agent(1).await;
    let refusal = || async {
        let answer = TestMachine::new(1).activate(&world.server, &world.license.key).await;
        answer.err().map(|answer| answer.word())
    };
    assert_eq!(refusal().await.as_deref(), Some("409 reactivation_limit"));
    let reset = "UPDATE installs SET reactivations = '{}', next_reactivation_free = true, secrets = NULL, \
                 revision = revision + 1";
    world.database.run(reset).await;
    world.agent(1).await;
    world.agent(1).await;
    assert_eq!(refusal().await.as_deref(), Some("409 reactivation_limit"));
    world.pass(30 * 86_400);
    assert_eq!(refusal().await, None);
}

#[tokio::test]
async fn what_the_install_was_it_stays() {
    for (held, state) in
        [("suspended_at = to_timestamp(1)", "suspended"), ("awaiting_approval = true", "pending")]
    {
        let world = World::new().await;
        let agent = world.agent(1).await;
        world.database.run(&format!("UPDATE installs SET {held}, revision = revision + 1")).await;
        let machine = TestMachine::new(1);
        let again = post(&world.server, &machine.activation(&world.license.key, &machine.nonce())).await;
        assert_eq!(again.word(), format!("201 {state}"));
        assert_eq!(again.json()["install_id"], json!(agent.install));
    }
}

#[tokio::test]
async fn approval_is_asked_for_where_the_profile_wants_it() {
    let world = World::with(r#"{"require_approval": {"after_first": 2}}"#, 5).await;
    let mut states = Vec::new();
    for number in 0..3 {
        let machine = TestMachine::new(number);
        states.push(
            post(&world.server, &machine.activation(&world.license.key, &machine.nonce())).await.word(),
        );
    }
    assert_eq!(states, ["201 authorized", "201 authorized", "201 pending"]);
    world.database.run("UPDATE installs SET awaiting_approval = false, revision = revision + 1").await;
    let world = World::with(r#"{"require_approval": "yes"}"#, 5).await;
    let mut agent = world.agent(1).await;
    let answer = agent.beat(&world.server).await;
    assert_eq!(
        (answer.word().as_str(), answer.json()["next_heartbeat_in"].as_i64()),
        ("200 pending", Some(60))
    );
}

#[tokio::test]
async fn a_key_that_is_malformed_unknown_revoked_or_expired_gets_one_and_the_same_answer() {
    let world = World::new().await;
    let machine = TestMachine::new(1);
    let good = machine.activation(&world.license.key, &machine.nonce());
    let mut malformed = good.clone();
    malformed["license_key"] = json!("nonsense");
    let unknown = machine.activation(&LicenseKey::generate([5; 18]), &machine.nonce());
    let mut answers = vec![post(&world.server, &malformed).await, post(&world.server, &unknown).await];
    let end = START - 2 * 604_800;
    world
        .database
        .run(&format!("UPDATE licenses SET starts_at = to_timestamp(1), expires_at = to_timestamp({end})"))
        .await;
    answers.push(post(&world.server, &good).await);
    world.database.run("UPDATE licenses SET expires_at = NULL, revoked_at = to_timestamp(1)").await;
    answers.push(post(&world.server, &good).await);
    world.database.run("UPDATE licenses SET revoked_at = NULL").await;
    assert_eq!(post(&world.server, &good).await.status, 201, "it was the license, not the request");
    world.database.run("UPDATE installs SET revoked_at = to_timestamp(1), revision = revision + 1").await;
    answers.push(post(&world.server, &good).await);
    let stripped = |answer: &edge::testing::Answer| {
        let mut body = answer.json();
        body["request_id"] = Value::Null;
        (answer.status, body, answer.body.len())
    };
    for answer in &answers {
        assert_eq!(answer.word(), "403 license_refused");
        assert_eq!(stripped(answer), stripped(&answers[0]));
    }
}

#[tokio::test]
async fn a_license_that_expired_within_its_windows_still_activates() {
    let world = World::new().await;
    let machine = TestMachine::new(1);
    let end = START - 2 * 604_800 + 1;
    world
        .database
        .run(&format!("UPDATE licenses SET starts_at = to_timestamp(1), expires_at = to_timestamp({end})"))
        .await;
    let answer = post(&world.server, &machine.activation(&world.license.key, &machine.nonce())).await;
    assert_eq!(answer.word(), "201 degraded");
}

#[tokio::test]
async fn activations_are_bounded_by_license_key_and_by_address() {
    use axum::body::Body;
    use edge::address::ClientAddress;
    use http::Request;

    let world = World::new().await;
    let send = |key: &str, address: &str| {
        let machine = TestMachine::new(1);
        let mut body = machine.activation(&world.license.key, &machine.nonce());
        body["license_key"] = json!(key);
        let address: std::net::IpAddr = address.parse().unwrap();
        let request = Request::post("/v1/activate")
            .header("content-type", "application/json")
            .extension(ClientAddress::from(address))
            .body(Body::from(body.to_string()))
            .unwrap();
        let server = world.server.clone();
        async move { server.send(request).await }
    };
    for _ in 0..1000 {
        assert_eq!(send("one", "192.0.2.1").await.status, 403);
    }
    let bounded = send("one", "192.0.2.2").await;
    assert_eq!(bounded.word(), "429 slow_down", "a key's burst is 1000");
    assert!(bounded.headers.contains_key("retry-after"));
    assert_eq!(send("two", "192.0.2.2").await.status, 403);
    world.pass(1);
    assert_eq!(send("one", "192.0.2.2").await.status, 403);
}

#[tokio::test]
async fn a_license_key_has_one_rate_however_it_is_spelled() {
    let world = World::with("{}", 5).await;
    let machine = TestMachine::new(1);
    let canonical = world.license.key.canonical().to_owned();
    for turn in 0..1000 {
        let mut body = machine.activation(&world.license.key, &machine.nonce());
        let (before, after) = canonical.split_at(turn % 30);
        body["license_key"] = json!(format!("qtL{before}-{}{after}", " ".repeat(turn / 30)));
        assert_ne!(post(&world.server, &body).await.status, 429, "{turn}");
    }
    let plain = machine.activation(&world.license.key, &machine.nonce());
    assert_eq!(post(&world.server, &plain).await.word(), "429 slow_down");
}

#[tokio::test]
async fn an_activation_that_is_repeated_has_no_proof_forgotten() {
    let world = World::with("{}", 5).await;
    let machine = TestMachine::new(1);
    let body = machine.activation(&world.license.key, &machine.nonce());
    let mut agent = TestAgent::of(machine, &post(&world.server, &body).await);
    let (proof, beat) = agent.heartbeat(&world.server);
    assert_eq!(world.server.post("/v1/heartbeat", Some(&proof), beat.clone()).await.status, 200);
    for _ in 0..300 {
        assert_eq!(post(&world.server, &body).await.status, 201, "a retry");
    }
    assert_eq!(world.server.post("/v1/heartbeat", Some(&proof), beat).await.word(), "409 nonce_replayed");
}
