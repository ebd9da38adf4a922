//! Seats: under any concurrency, when their number is lowered, when silence has released one.

use std::collections::BTreeMap;
use std::pin::pin;

use edge::testing::TestMachine;
use protocol::admin::Role;
use protocol::proof::Operation;
use serde_json::json;

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

#[tokio::test]
async fn whoever_gives_a_license_fewer_seats_holds_no_install_while_another_one_keeps_it_waiting() {
    let world = World::with("{}", 3).await;
    let operator = world.script(Role::Operator).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(world.agent(number).await.install);
        world.pass(1);
    }
    let path = format!("/licenses/{}", world.license.id);
    let version = operator.get(&path).await.json()["version"].clone();
    let fewer = json!({ "max_installs": 1 });
    let mut changing = pin!(operator.patch(&path, &version, &fewer));
    // As two beats that are committed together may: the newer one of those two that lose their seats, then the older one.
    let newer = format!("SELECT FROM installs WHERE id = '{}' FOR UPDATE", ids[2]);
    let older = format!("SET lock_timeout = '2s'; SELECT FROM installs WHERE id = '{}' FOR UPDATE", ids[1]);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let both = async {
        while world.database.value(waiting).await == "0" {}
        world.database.run(&older).await;
    };
    let both = async {
        tokio::select! {
            answer = changing.as_mut() => panic!("nothing kept it waiting: {}", answer.word()),
            () = both => (),
        }
    };
    world.database.holding(&newer, both).await;
    assert_eq!(changing.await.status, 200);
    let over = "SELECT id FROM installs WHERE seats_exceeded_at IS NOT NULL ORDER BY id";
    assert_eq!(world.database.lines(over).await, [ids[1].to_string(), ids[2].to_string()]);
}
