//! `POST /v1/rekey`: a lost answer strands nobody.

use protocol::proof::Operation;

use crate::World;

#[tokio::test]
async fn the_old_secret_serves_until_the_new_one_is_first_used() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let mut old = agent.clone();
    assert_eq!(agent.rekey(&world.server).await.json()["counter"], 1);
    old.counter = agent.counter;
    assert_eq!(old.beat(&world.server).await.word(), "200 authorized");
    agent.counter = old.counter;
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    old.counter = agent.counter;
    assert_eq!(old.beat(&world.server).await.word(), "401 invalid_proof");
}

#[tokio::test]
async fn another_rekey_under_the_old_secret_replaces_the_unused_new_one() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let mut first = agent.clone();
    first.rekey(&world.server).await;
    agent.counter = first.counter;
    assert_eq!(agent.rekey(&world.server).await.status, 200);
    first.counter = agent.counter;
    assert_eq!(first.beat(&world.server).await.word(), "401 invalid_proof");
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
}

#[tokio::test]
async fn a_rekey_under_a_secret_that_is_itself_new_leaves_these_two() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    agent.rekey(&world.server).await;
    let mut second = agent.clone();
    assert_eq!(second.rekey(&world.server).await.status, 200);
    agent.counter = second.counter;
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    second.counter = agent.counter;
    assert_eq!(second.beat(&world.server).await.word(), "200 authorized");
}

#[tokio::test]
async fn an_empty_object_is_as_good_as_no_body_and_anything_else_is_not() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    for (body, word) in
        [("{}", "200 -"), (r#"{"a": 1}"#, "200 -"), ("[]", "422 invalid"), ("{", "400 malformed")]
    {
        let proof = agent.prove(&Operation::Rekey, world.server.edge.now(), body.as_bytes());
        assert_eq!(world.server.post("/v1/rekey", Some(&proof), body).await.word(), word, "{body}");
    }
}

#[tokio::test]
async fn a_revoked_install_gets_no_new_secret() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    world
        .database
        .run("UPDATE installs SET revoked_at = to_timestamp(1789999999), revision = revision + 1")
        .await;
    assert_eq!(agent.rekey(&world.server).await.word(), "403 forbidden");
    assert_eq!(agent.beat(&world.server).await.word(), "200 revoked");
    let log = "SELECT string_agg(operation || ' ' || outcome, ', ' ORDER BY at, counter) FROM heartbeats";
    assert_eq!(world.database.value(log).await, "activate accepted, rekey refused, heartbeat accepted");
}
