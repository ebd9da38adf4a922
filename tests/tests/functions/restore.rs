//! A database that was restored from a backup: what it has forgotten is not accepted a second time.

use protocol::proof::Operation;
use store::testing::{START, recording};

use crate::World;

const FORGET: &str =
    "UPDATE installs SET high = 0, accepted_window = decode(repeat('00', 32), 'hex'), recent_nonces = ''";

#[tokio::test]
async fn proofs_of_buckets_up_to_the_restore_are_put_off_and_no_replay_is_accepted() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let (proof, body) = agent.heartbeat(&world.server);
    let beat = || world.server.post("/v1/heartbeat", Some(&proof), body.clone());
    assert_eq!(beat().await.word(), "200 authorized");

    world.database.run(FORGET).await;
    world.database.database().note_restore(&recording(START)).await.unwrap();
    world.database.database().note_restore(&recording(START)).await.unwrap();
    let stored = "SELECT i::text FROM installs i";
    let before = world.database.value(stored).await;
    let next_bucket = (START / 300 + 1) * 300;
    let put_off = beat().await;
    assert_eq!(put_off.word(), "503 unavailable");
    let seconds: i64 = put_off.headers["retry-after"].to_str().unwrap().parse().unwrap();
    let wait = next_bucket - START;
    assert!((wait..=wait + 30).contains(&seconds), "{seconds}");
    assert_eq!(agent.beat(&world.server).await.word(), "503 unavailable", "nobody knows which are replays");
    assert_eq!(agent.rekey(&world.server).await.word(), "503 unavailable");
    let wrong = agent.prove(&Operation::Rekey, START, b"");
    let answer = world.server.post("/v1/heartbeat", Some(&wrong), agent.body(START)).await;
    assert_eq!(answer.word(), "401 invalid_proof", "only what proves something is put off");
    let answer = world.server.post("/v1/heartbeat", Some(&proof), "{}").await;
    assert_eq!(answer.word(), "401 invalid_proof");
    assert_eq!(world.database.value(stored).await, before);

    world.pass(wait);
    assert_eq!(
        beat().await.word(),
        "503 unavailable",
        "the bucket before is taken, and that one is the restore's"
    );
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    world.pass(300);
    assert_eq!(beat().await.word(), "401 invalid_proof");
    let (late, body) = agent.heartbeat(&world.server);
    world.pass(300);
    assert_eq!(world.server.post("/v1/heartbeat", Some(&late), body).await.word(), "200 authorized");
}

#[tokio::test]
async fn of_several_restores_the_last_one_counts() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    for at in [START, START - 86_400] {
        world.database.database().note_restore(&recording(at)).await.unwrap();
    }
    assert_eq!(agent.beat(&world.server).await.word(), "503 unavailable");
}

#[tokio::test]
async fn an_install_that_was_activated_after_the_backup_activates_again_at_once() {
    let world = World::new().await;
    let mut gone = world.agent(1).await;
    world.database.run("DELETE FROM installs").await;
    world.database.database().note_restore(&recording(START)).await.unwrap();
    assert_eq!(gone.beat(&world.server).await.word(), "401 invalid_proof");
    assert_ne!(world.agent(1).await.install, gone.install);
}

#[tokio::test]
async fn after_a_restore_the_keyset_is_above_every_version_that_agents_have_seen_since_the_backup() {
    let world = World::new().await;
    let version = async || world.agent(1).await.beat(&world.server).await.claims()["ksv"].clone();
    assert_eq!(version().await, 1);
    world.pass(600);
    world.database.database().note_restore(&recording(START + 600)).await.unwrap();
    world.pass(300);
    assert_eq!(version().await, START + 600);
    world.pass(31);
    assert_eq!(version().await, START + 600, "it is signed once");
    world.pass(2_592_000 / 3);
    assert_eq!(version().await, START + 601);
}
