//! `POST /v1/heartbeat`, `/v1/rekey`, `/v1/deactivate`.

use std::sync::Arc;

use edge::testing::TestMachine;
use protocol::proof::{Operation, ProofHeader};
use serde_json::json;

use super::{World, assert_problem, now};

pub(super) async fn a_heartbeat_is_answered_by_a_token_for_that_request(world: Arc<World>) {
    let mut agent = world.lone_agent("{}").await;
    agent.counter = 41;
    let (proof, body) = crate::heartbeat(&mut agent);
    // The parameters of a media type are ignored, and so are members that nobody knows.
    let body = body.replacen('{', r#"{"unheard-of": [1], "#, 1);
    let now_ = now();
    let proof_ = agent.prove(&Operation::Heartbeat, now_, body.as_bytes());
    assert_ne!(proof, proof_);
    let headers = [("content-type", "application/json; charset=utf-8"), ("authorization", proof_.as_str())];
    let answer = world.bases.heartbeat.call("POST", "/v1/heartbeat", &headers, body.as_bytes()).await;
    assert_eq!(answer.word(), "200 authorized");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(answer.headers.contains_key("x-request-id"));
    let said = answer.json();
    assert_eq!(said.as_object().unwrap().len(), 4, "{said}");
    assert!((now() - said["server_time"].as_i64().unwrap()).abs() < 60);
    let nonce = ProofHeader::parse(proof_.as_bytes()).unwrap().nonce;
    let decision = world.decision(&agent, &answer, (nonce, 43)).await;
    assert_eq!((decision.high, decision.nhb), (43, said["next_heartbeat_in"].as_i64().unwrap()));
    assert_eq!(decision.fpd, agent.machine.fingerprint.fpd());
    assert!(!decision.ladder.is_empty());
}

pub(super) async fn a_rekey_lets_the_old_secret_serve_until_the_new_one_does(world: Arc<World>) {
    let mut agent = world.lone_agent("{}").await;
    let mut old = agent.clone();
    let answer = world.rekey(&mut agent).await;
    assert_eq!((answer.status, &answer.json()["counter"]), (200, &json!(1)));
    assert_eq!(answer.headers["cache-control"], "no-store", "a secret is in it");
    old.counter = agent.counter;
    assert_eq!(world.beat(&mut old).await.word(), "200 authorized");
    agent.counter = old.counter;
    assert_eq!(world.beat(&mut agent).await.word(), "200 authorized");
    old.counter = agent.counter;
    assert_problem(&world.beat(&mut old).await, "401 invalid_proof", "the new one was used");
    // It takes no body, or one that is an object.
    let proof = agent.prove(&Operation::Rekey, now(), b"{}");
    assert_eq!(world.post("/v1/rekey", Some(&proof), "{}").await.status, 200);
    let proof = agent.prove(&Operation::Rekey, now(), b"[]");
    assert_problem(&world.post("/v1/rekey", Some(&proof), "[]").await, "422 invalid", "no object");
}

pub(super) async fn leaving_frees_the_seat_and_kills_the_secret(world: Arc<World>) {
    let key = world.site.license("{}", 1).await;
    let mut agent = world.agent(&key, 1).await;
    assert_problem(&world.activate(&TestMachine::new(2), &key).await, "409 seats_exhausted", "the only one");
    let answer = world.ask(&mut agent, "/v1/deactivate", &Operation::Deactivate).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_problem(&world.beat(&mut agent).await, "401 invalid_proof", "after leaving");
    world.agent(&key, 2).await;
}

pub(super) async fn the_previous_bucket_is_taken_and_no_other(world: Arc<World>) {
    let mut agent = world.lone_agent("{}").await;
    let body = agent.body(now());
    let mut sent_at = async |time: i64| {
        let proof = agent.prove(&Operation::Heartbeat, time, body.as_bytes());
        world.post("/v1/heartbeat", Some(&proof), &body).await
    };
    // Near a bucket's end the previous one would be the one before that when it arrives.
    let is_far_from_its_end = now() % 300 < 270;
    let previous = if is_far_from_its_end { now() - 300 } else { now() };
    assert_eq!(sent_at(previous).await.word(), "200 authorized");
    assert_problem(&sent_at(now() - 900).await, "401 invalid_proof", "a bucket that is over");
    assert_problem(&sent_at(now() + 900).await, "401 invalid_proof", "a bucket to come");
}

pub(super) async fn too_many_beats_are_slowed_down(world: Arc<World>) {
    let mut agent = world.lone_agent("{}").await;
    let mut answers = Vec::new();
    // Ten at once, and one for every 5 s that the others took.
    while answers.len() < 40 && answers.last().is_none_or(|(status, _)| *status == 200) {
        let answer = world.beat(&mut agent).await;
        answers.push((answer.status, answer));
    }
    let (_, refused) = answers.last().unwrap();
    assert_problem(refused, "429 slow_down", "of many");
    assert!(answers.len() > 10, "{}", answers.len());
    let after: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
}
