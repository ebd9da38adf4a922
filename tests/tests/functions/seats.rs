//! Seats: under any concurrency, when their number is lowered, when silence has released one.

use std::collections::BTreeMap;

use edge::testing::TestMachine;
use protocol::proof::Operation;

use crate::{World, server};

#[tokio::test]
async fn thirty_two_activations_at_once_over_two_processes_take_exactly_five_seats() {
    let world = World::new().await;
    let second = server(&world.database, 2).await;
    let mut activations = tokio::task::JoinSet::new();
    for number in 0..32 {
        let process = if number % 2 == 0 { world.server.clone() } else { second.clone() };
        let key = world.license.key.clone();
        activations.spawn(async move {
            TestMachine::new(number)
                .activate(&process, &key)
                .await
                .map_or_else(|answer| answer.word(), |_| "201".into())
        });
    }
    let mut words = BTreeMap::<String, usize>::new();
    for word in activations.join_all().await {
        *words.entry(word).or_default() += 1;
    }
    assert_eq!(words, BTreeMap::from([("201".to_owned(), 5), ("409 seats_exhausted".to_owned(), 27)]));
    assert_eq!(world.database.value("SELECT count(*) FROM installs").await, "5");
}

#[tokio::test]
async fn the_same_machine_keeps_its_seat() {
    let world = World::with("{}", 1).await;
    let agent = world.agent(1).await;
    assert_eq!(world.agent(1).await.install, agent.install);
}

#[tokio::test]
async fn pending_and_suspended_installs_hold_a_seat() {
    for held in ["suspended_at = to_timestamp(1)", "awaiting_approval = true"] {
        let world = World::with("{}", 1).await;
        world.agent(1).await;
        world.database.run(&format!("UPDATE installs SET {held}, revision = revision + 1")).await;
        let other = TestMachine::new(2).activate(&world.server, &world.license.key).await;
        assert_eq!(other.err().map(|answer| answer.word()), Some("409 seats_exhausted".to_owned()), "{held}");
    }
}

#[tokio::test]
async fn silence_releases_a_seat_and_whoever_comes_back_takes_a_free_one_or_is_over() {
    let world = World::with(r#"{"release_silent_after": 7200}"#, 1).await;
    let mut first = world.agent(1).await;
    world.pass(7199);
    let early = TestMachine::new(2).activate(&world.server, &world.license.key).await;
    assert_eq!(early.err().map(|answer| answer.word()), Some("409 seats_exhausted".to_owned()));
    world.pass(1);
    let mut second = world.agent(2).await;
    let over = first.beat(&world.server).await;
    assert_eq!(
        (over.word().as_str(), over.claims()["reason"].as_str()),
        ("200 grace", Some("seats_exceeded"))
    );
    world.pass(3600);
    assert_eq!(first.beat(&world.server).await.word(), "200 grace");
    world.pass(3600);
    assert_eq!(
        first.beat(&world.server).await.word(),
        "200 authorized",
        "the other one was silent for too long"
    );
    assert_eq!(second.beat(&world.server).await.word(), "200 grace");
}

#[tokio::test]
async fn a_rekey_does_not_take_back_a_seat_that_silence_released() {
    let world = World::with(r#"{"release_silent_after": 7200}"#, 1).await;
    let mut first = world.agent(1).await;
    world.pass(7200);
    let mut second = world.agent(2).await;
    assert_eq!(first.rekey(&world.server).await.status, 200);
    assert_eq!(second.beat(&world.server).await.word(), "200 authorized");
    assert_eq!(first.beat(&world.server).await.word(), "200 grace");
}

#[tokio::test]
async fn a_machine_that_activates_again_is_over_only_as_long_as_there_is_no_room() {
    let world = World::with("{}", 2).await;
    let mut first = world.agent(1).await;
    world.pass(1);
    world.agent(2).await;
    let over = format!(
        "UPDATE licenses SET max_installs = 1;
         UPDATE installs SET seats_exceeded_at = to_timestamp({}) WHERE id <> '{}'",
        world.server.edge.now(),
        first.install
    );
    world.database.run(&over).await;
    let again = async || {
        let machine = TestMachine::new(2);
        let body = machine.activation(&world.license.key, &machine.nonce());
        world.server.post("/v1/activate", None, body.to_string()).await.word()
    };
    assert_eq!(again().await, "201 grace");
    assert_eq!(first.ask(&world.server, "/v1/deactivate", &Operation::Deactivate).await.status, 204);
    assert_eq!(again().await, "201 authorized");
}
