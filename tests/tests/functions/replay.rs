//! Replay, retry, fork: the table of docs/protocol.md, over one process and over two.

use edge::testing::TestAgent;

use crate::{World, server};

#[tokio::test]
async fn a_proof_is_accepted_once() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let (proof, body) = agent.heartbeat(&world.server);
    let send = || world.server.post("/v1/heartbeat", Some(&proof), body.clone());
    assert_eq!(send().await.word(), "200 authorized");
    assert_eq!(send().await.word(), "409 nonce_replayed");
    assert_eq!(world.database.value("SELECT high FROM installs").await, "1");
    assert_eq!(world.database.value("SELECT count(*) FROM heartbeats").await, "2");
}

#[tokio::test]
async fn an_attempt_that_arrives_after_its_retry_is_stale_and_suspects_nobody() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let (late, body) = agent.heartbeat(&world.server);
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    assert_eq!(world.server.post("/v1/heartbeat", Some(&late), body).await.word(), "409 counter_stale");
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
}

#[tokio::test]
async fn a_copy_is_suspected_at_the_first_beat_of_whichever_is_behind() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let mut copy = TestAgent { machine: agent.machine.clone(), ..agent.clone() };
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    let found = copy.beat(&world.server).await;
    assert_eq!(
        (found.word().as_str(), found.claims()["reason"].as_str()),
        ("200 warned", Some("clone_suspected"))
    );
    assert_eq!(found.claims()["high"], 1, "the highest counter never goes down");
    assert_eq!(agent.beat(&world.server).await.claims()["reason"], "clone_suspected", "it stays");
    let outcomes = "SELECT string_agg(outcome, ' ' ORDER BY counter, outcome) FROM heartbeats WHERE operation = 'heartbeat'";
    assert_eq!(world.database.value(outcomes).await, "accepted clone accepted");
}

#[tokio::test]
async fn a_copy_may_not_have_the_secret_changed() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let mut copy = agent.clone();
    agent.beat(&world.server).await;
    assert_eq!(copy.rekey(&world.server).await.word(), "403 forbidden");
    assert_eq!(agent.beat(&world.server).await.claims()["reason"], "clone_suspected");
}

#[tokio::test]
async fn a_profile_may_quarantine_or_ignore_a_suspected_copy() {
    for (action, word) in [("quarantine", "200 quarantined"), ("ignore", "200 authorized")] {
        let world = World::with(&format!(r#"{{"clone_action": "{action}"}}"#), 5).await;
        let mut agent = world.agent(1).await;
        let mut copy = agent.clone();
        agent.beat(&world.server).await;
        assert_eq!(copy.beat(&world.server).await.word(), word);
    }
}

#[tokio::test]
async fn below_the_window_is_a_fork_and_within_it_what_was_never_accepted_is_not() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    agent.counter = 999;
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    agent.counter = 744;
    assert_eq!(agent.beat(&world.server).await.word(), "409 counter_stale", "745 is 255 below");
    agent.counter = 743;
    assert_eq!(agent.beat(&world.server).await.word(), "200 warned", "744 is 256 below");
}

#[tokio::test]
async fn sixty_four_copies_of_a_proof_over_two_processes_are_accepted_once() {
    let world = World::with("{}", 1000).await;
    let second = server(&world.database, 2).await;
    for number in 0..20 {
        let mut agent = world.agent(number).await;
        let (proof, body) = agent.heartbeat(&world.server);
        let mut senders = tokio::task::JoinSet::new();
        for copy in 0..64 {
            let process = if copy % 2 == 0 { world.server.clone() } else { second.clone() };
            let (proof, body) = (proof.clone(), body.clone());
            senders.spawn(async move { process.post("/v1/heartbeat", Some(&proof), body).await.word() });
        }
        let mut words = senders.join_all().await;
        words.sort();
        assert_eq!(words[0], "200 authorized");
        assert!(words[1..].iter().all(|word| word == "409 nonce_replayed"), "{words:?}");
    }
    assert_eq!(
        world.database.value("SELECT count(*) FROM installs WHERE clone_suspected_at IS NOT NULL").await,
        "0"
    );
}

#[tokio::test]
async fn different_beats_of_one_install_over_two_processes_never_suspect_it() {
    let world = World::new().await;
    let second = server(&world.database, 2).await;
    let mut agent = world.agent(1).await;
    let mut senders = tokio::task::JoinSet::new();
    for attempt in 0..10 {
        let (proof, body) = agent.heartbeat(&world.server);
        let process = if attempt % 2 == 0 { world.server.clone() } else { second.clone() };
        senders.spawn(async move { process.post("/v1/heartbeat", Some(&proof), body).await.word() });
    }
    for word in senders.join_all().await {
        assert!(["200 authorized", "409 counter_stale"].contains(&word.as_str()), "{word}");
    }
    assert_eq!(
        world.database.value("SELECT count(clone_suspected_at) || ' ' || max(high) FROM installs").await,
        "0 10"
    );
}
