//! What an operator does, as agents see it.

use std::sync::Arc;

use edge::testing::TestMachine;
use protocol::proof::Operation;

use super::{World, assert_problem};

pub(super) async fn what_an_operator_does_reaches_the_next_beat(world: Arc<World>) {
    let mut agent = world.lone_agent("{}").await;
    let (install, license) = (agent.install.to_string(), agent.license.to_string());
    for (command, word, reason) in [
        (["install", "suspend", &install], "200 suspended", "install_suspended"),
        (["install", "resume", &install], "200 authorized", "ok"),
        (["license", "suspend", &license], "200 suspended", "license_suspended"),
        (["license", "resume", &license], "200 authorized", "ok"),
    ] {
        world.site.operate(&command).await;
        let answer = world.beat(&mut agent).await;
        assert_eq!(answer.word(), word, "{command:?}");
        assert_eq!(answer.claims()["reason"], reason, "{command:?}");
    }
    world.site.operate(&["install", "suspend", &install]).await;
    let left = world.ask(&mut agent, "/v1/deactivate", &Operation::Deactivate).await;
    assert_problem(&left, "403 forbidden", "leaving undoes nothing");
    world.site.operate(&["install", "reset", &install]).await;
    assert_problem(&world.beat(&mut agent).await, "401 invalid_proof", "a reset kills the secret");
}

pub(super) async fn a_revoked_install_is_told_so_and_may_nothing_else(world: Arc<World>) {
    let key = world.site.license("{}", 1).await;
    let mut agent = world.agent(&key, 1).await;
    world.site.operate(&["install", "revoke", &agent.install.to_string()]).await;
    assert_eq!(world.beat(&mut agent).await.word(), "200 revoked");
    assert_problem(&world.rekey(&mut agent).await, "403 forbidden", "a rekey");
    let left = world.ask(&mut agent, "/v1/deactivate", &Operation::Deactivate).await;
    assert_problem(&left, "403 forbidden", "leaving");
    let again = world.activate(&agent.machine, &key).await;
    assert_problem(&again, "403 license_refused", "the same machine again");
    // Its seat is free.
    world.agent(&key, 2).await;
}

pub(super) async fn an_install_waits_for_its_approval(world: Arc<World>) {
    let key = world.site.license(r#"{"require_approval": "yes"}"#, 1).await;
    let mut agent = world.agent(&key, 1).await;
    assert_eq!(world.beat(&mut agent).await.word(), "200 pending");
    let other = world.activate(&TestMachine::new(2), &key).await;
    assert_problem(&other, "409 seats_exhausted", "who waits holds a seat");
    world.site.operate(&["install", "approve", &agent.install.to_string()]).await;
    assert_eq!(world.beat(&mut agent).await.word(), "200 authorized");
}
