//! Seats and leases: whose lease runs keeps its seat taken, whatever has become of it.

use edge::testing::TestMachine;
use store::InstallAction;
use store::testing::START;

use crate::World;

const EXHAUSTED: Option<&str> = Some("409 seats_exhausted");

/// Why machine `number` can't activate, if it can't.
async fn refusal(world: &World, number: u64) -> Option<String> {
    TestMachine::new(number)
        .activate(&world.server, &world.license.key)
        .await
        .err()
        .map(|answer| answer.word())
}

#[tokio::test]
async fn a_revoked_installs_seat_is_free_when_its_lease_has_ended() {
    let world = World::with("{}", 1).await;
    let store = world.database.store(9).await;
    let mut agent = world.agent(1).await;
    agent.take_lease(&world.server, 3000).await;
    let shown = crate::operator::act(&store, agent.install, &InstallAction::Revoke).await.unwrap();
    assert_eq!((shown.status.as_str(), shown.holds_seat), ("revoked", true));
    assert_eq!(refusal(&world, 2).await.as_deref(), EXHAUSTED);
    assert_eq!(agent.beat(&world.server).await.word(), "200 revoked");
    world.pass(2999);
    assert_eq!(refusal(&world, 2).await.as_deref(), EXHAUSTED, "it has heard, but its lease runs");
    world.pass(1);
    assert!(!admin::install::show(&store, agent.install).await.unwrap().holds_seat);
    assert_eq!(refusal(&world, 2).await, None);
}

#[tokio::test]
async fn a_revoked_installs_seat_is_free_when_its_revoked_lease_was_heard_of() {
    let world = World::with("{}", 1).await;
    let store = world.database.store(9).await;
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, 3000).await;
    crate::operator::act(&store, agent.install, &InstallAction::Revoke).await.unwrap();
    assert!(crate::operator::revoke_lease(&store, lease.id).await);
    assert_eq!(refusal(&world, 2).await.as_deref(), EXHAUSTED, "the machine keeps lease and seat");
    assert_eq!(agent.beat(&world.server).await.word(), "200 revoked");
    assert_eq!(refusal(&world, 2).await, None);
}

#[tokio::test]
async fn silence_releases_no_seat_while_a_lease_runs() {
    let world = World::with(r#"{"release_silent_after": 7200}"#, 1).await;
    let mut agent = world.agent(1).await;
    agent.take_lease(&world.server, 50_000).await;
    world.pass(49_999);
    assert_eq!(refusal(&world, 2).await.as_deref(), EXHAUSTED);
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    world.pass(7199);
    assert_eq!(refusal(&world, 2).await.as_deref(), EXHAUSTED, "it was heard of");
    world.pass(1);
    assert_eq!(refusal(&world, 2).await, None);
    assert_eq!(agent.beat(&world.server).await.word(), "200 grace", "its seat is another's");
}

#[tokio::test]
async fn a_lease_that_ends_in_silence_releases_the_seat_at_its_end() {
    let world = World::with(r#"{"release_silent_after": 7200}"#, 1).await;
    let mut agent = world.agent(1).await;
    agent.take_lease(&world.server, 50_000).await;
    world.pass(50_000);
    assert_eq!(refusal(&world, 2).await, None);
    let over = agent.beat(&world.server).await;
    assert_eq!(
        (over.word().as_str(), over.claims()["reason"].as_str()),
        ("200 grace", Some("seats_exceeded"))
    );
}

#[tokio::test]
async fn a_returned_lease_holds_no_seat() {
    let world = World::with(r#"{"release_silent_after": 7200}"#, 1).await;
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, 50_000).await;
    agent.return_lease(&world.server, lease.id).await;
    world.pass(7200);
    assert_eq!(refusal(&world, 2).await, None);
}

#[tokio::test]
async fn who_is_over_counts_the_seats_that_leases_of_revoked_installs_take() {
    let world = World::with(r#"{"release_silent_after": 7200}"#, 2).await;
    let store = world.database.store(9).await;
    let (mut leased, mut silent) = (world.agent(1).await, world.agent(2).await);
    leased.take_lease(&world.server, 50_000).await;
    crate::operator::act(&store, leased.install, &InstallAction::Revoke).await.unwrap();
    world.pass(7200);
    assert_eq!(refusal(&world, 3).await, None, "the silent one's seat");
    assert_eq!(silent.beat(&world.server).await.word(), "200 grace", "both seats are taken");
    world.database.clock.set(START + 50_000);
    assert_eq!(silent.beat(&world.server).await.word(), "200 authorized", "the lease has ended");
}
