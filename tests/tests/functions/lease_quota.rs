//! `lease_max_outstanding`: how many installs of a license are on a lease at once.

use std::collections::BTreeMap;

use crate::lease::refused;
use crate::{World, server};

const WEEK: i64 = 604_800;
const LIMIT: &str = "403 lease_refused lease_limit";

#[tokio::test]
async fn thirty_two_at_once_over_two_processes_get_exactly_five_leases() {
    let world = World::with(r#"{"lease_max_outstanding": 5}"#, 100).await;
    let second = server(&world.database, 2).await;
    let mut agents = Vec::new();
    for number in 0..32 {
        agents.push(world.agent(number).await);
    }
    let mut asking = tokio::task::JoinSet::new();
    for (number, mut agent) in agents.into_iter().enumerate() {
        let process = if number % 2 == 0 { world.server.clone() } else { second.clone() };
        asking.spawn(async move {
            let answer = agent.ask_lease(&process, WEEK).await;
            if answer.status == 201 { "201".to_owned() } else { refused(&answer) }
        });
    }
    let mut words = BTreeMap::<String, usize>::new();
    for word in asking.join_all().await {
        *words.entry(word).or_default() += 1;
    }
    assert_eq!(words, BTreeMap::from([("201".to_owned(), 5), (LIMIT.to_owned(), 27)]));
    assert_eq!(world.database.value("SELECT count(*) FROM leases").await, "5");
    assert_eq!(world.database.value("SELECT count(lease_id) FROM installs").await, "5");
}

#[tokio::test]
async fn a_renewal_is_not_one_more() {
    let world = World::with(r#"{"lease_max_outstanding": 1}"#, 5).await;
    let (mut agent, mut other) = (world.agent(1).await, world.agent(2).await);
    agent.take_lease(&world.server, WEEK).await;
    agent.take_lease(&world.server, WEEK).await;
    assert_eq!(refused(&other.ask_lease(&world.server, WEEK).await), LIMIT);
}

#[tokio::test]
async fn no_lease_at_all_is_a_bound_too() {
    let world = World::with(r#"{"lease_max_outstanding": 0}"#, 5).await;
    assert_eq!(refused(&world.agent(1).await.ask_lease(&world.server, WEEK).await), LIMIT);
}

#[tokio::test]
async fn quota_is_free_when_a_lease_is_returned_and_when_it_ends() {
    let world = World::with(r#"{"lease_max_outstanding": 1}"#, 5).await;
    let (mut agent, mut other) = (world.agent(1).await, world.agent(2).await);
    let lease = agent.take_lease(&world.server, WEEK).await;
    agent.return_lease(&world.server, lease.id).await;
    other.take_lease(&world.server, 3000).await;
    world.pass(2999);
    assert_eq!(refused(&agent.ask_lease(&world.server, WEEK).await), LIMIT);
    world.pass(1);
    agent.take_lease(&world.server, WEEK).await;
}

#[tokio::test]
async fn a_revoked_lease_counts_until_its_install_calls_or_until_its_end() {
    let world = World::with(r#"{"lease_max_outstanding": 1}"#, 5).await;
    let store = world.database.store(9).await;
    let (mut agent, mut other) = (world.agent(1).await, world.agent(2).await);
    let lease = agent.take_lease(&world.server, 3000).await;
    assert!(crate::operator::revoke_lease(&store, lease.id).await);
    assert_eq!(refused(&other.ask_lease(&world.server, 3000).await), LIMIT, "the machine keeps it");
    agent.beat(&world.server).await;
    let theirs = other.take_lease(&world.server, 3000).await;
    assert!(crate::operator::revoke_lease(&store, theirs.id).await);
    world.pass(2999);
    let mut third = world.agent(3).await;
    assert_eq!(refused(&third.ask_lease(&world.server, 60).await), LIMIT);
    world.pass(1);
    third.take_lease(&world.server, 60).await;
}

#[tokio::test]
async fn another_licenses_leases_count_for_nothing() {
    let world = World::with(r#"{"lease_max_outstanding": 1}"#, 5).await;
    world.agent(1).await.take_lease(&world.server, WEEK).await;
    let other = world.database.license(2, r#"{"lease_max_outstanding": 1}"#, 5).await;
    let machine = edge::testing::TestMachine::new(2);
    machine.activate(&world.server, &other.key).await.unwrap().take_lease(&world.server, WEEK).await;
}
