//! Replay, retry, fork.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{World, assert_problem};

pub(super) async fn a_proof_is_accepted_once(world: Arc<World>) {
    let mut agent = world.lone_agent("{}").await;
    let (proof, body) = crate::heartbeat(&mut agent);
    let mut racing = JoinSet::new();
    for _ in 0..8 {
        let (world, proof, body) = (world.clone(), proof.clone(), body.clone());
        racing.spawn(async move { world.post("/v1/heartbeat", Some(&proof), body).await });
    }
    let answers = racing.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.word() == "200 authorized").count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_problem(refused, "409 nonce_replayed", "a copy of it");
    }
}

pub(super) async fn an_attempt_that_its_retry_overtook_is_stale(world: Arc<World>) {
    let mut agent = world.lone_agent("{}").await;
    let (late, body) = crate::heartbeat(&mut agent);
    assert_eq!(world.beat(&mut agent).await.word(), "200 authorized");
    let refused = world.post("/v1/heartbeat", Some(&late), body).await;
    assert_problem(&refused, "409 counter_stale", "after its retry");
    let answer = world.beat(&mut agent).await;
    assert_eq!((answer.word().as_str(), answer.claims()["reason"].as_str()), ("200 authorized", Some("ok")));
}

pub(super) async fn a_second_holder_of_the_secret_is_found(world: Arc<World>) {
    let mut agent = world.lone_agent(r#"{"clone_action": "quarantine"}"#).await;
    let mut copy = agent.clone();
    assert_eq!(world.beat(&mut agent).await.word(), "200 authorized");
    let mut asking = copy.clone();
    let found = world.beat(&mut copy).await;
    assert_eq!(found.word(), "200 quarantined");
    assert_eq!((&found.claims()["reason"], &found.claims()["high"]), (&"clone_suspected".into(), &1.into()));
    assert_problem(&world.rekey(&mut asking).await, "403 forbidden", "a copy's rekey");
    assert_eq!(world.beat(&mut agent).await.word(), "200 quarantined", "nobody can tell which is the copy");
    world.site.operate(&["install", "rebind", &agent.install.to_string()]).await;
    assert_eq!(world.beat(&mut agent).await.word(), "200 authorized");
}
