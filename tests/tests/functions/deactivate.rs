//! `POST /v1/deactivate`: leaving, and who may not.

use edge::testing::TestMachine;
use protocol::proof::Operation;

use crate::World;

#[tokio::test]
async fn leaving_frees_the_seat_and_kills_the_secret() {
    let world = World::with("{}", 1).await;
    let mut agent = world.agent(1).await;
    let answer = agent.ask(&world.server, "/v1/deactivate", &Operation::Deactivate).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(agent.beat(&world.server).await.word(), "401 invalid_proof");
    world.agent(2).await;
    let again = TestMachine::new(1).activate(&world.server, &world.license.key).await;
    assert_eq!(
        again.err().map(|answer| answer.word()),
        Some("409 seats_exhausted".to_owned()),
        "it has left"
    );
}

#[tokio::test]
async fn leaving_undoes_nothing() {
    for held in
        ["suspended_at = to_timestamp(1)", "awaiting_approval = true", "clone_suspected_at = to_timestamp(1)"]
    {
        let world = World::new().await;
        let mut agent = world.agent(1).await;
        world.database.run(&format!("UPDATE installs SET {held}, revision = revision + 1")).await;
        let answer = agent.ask(&world.server, "/v1/deactivate", &Operation::Deactivate).await;
        assert_eq!(answer.word(), "403 forbidden", "{held}");
        assert_eq!(agent.beat(&world.server).await.status, 200, "{held}");
    }
}

#[tokio::test]
async fn a_machine_that_left_and_was_revoked_stays_out() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    agent.ask(&world.server, "/v1/deactivate", &Operation::Deactivate).await;
    world.database.run("UPDATE installs SET revoked_at = to_timestamp(1), revision = revision + 1").await;
    let again = TestMachine::new(1).activate(&world.server, &world.license.key).await;
    assert_eq!(again.err().map(|answer| answer.word()), Some("403 license_refused".to_owned()));
}
