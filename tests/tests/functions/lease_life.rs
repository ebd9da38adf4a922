//! A lease's life: beats while it is in force, renewal, return, an operator's revocation, its end.

use edge::testing::{Answer, TestAgent};
use protocol::LeaseId;
use protocol::proof::Operation;
use serde_json::{Value, json};
use store::testing::START;

use crate::World;
use crate::lease::refused;

const WEEK: i64 = 604_800;

/// The states of a token's ladder, in their order, with their instants after the beginning of the test.
fn ladder(claims: &Value) -> Vec<String> {
    let rung = |rung: &Value| format!("{} {}", rung[0].as_i64().unwrap() - START, rung[1].as_str().unwrap());
    claims["ladder"].as_array().unwrap().iter().map(rung).collect()
}

async fn beat(agent: &mut TestAgent, world: &World) -> Vec<String> {
    ladder(&agent.beat(&world.server).await.claims())
}

async fn revoke(world: &World, lease: LeaseId) -> bool {
    crate::operator::revoke_lease(&world.database.store(99).await, lease).await
}

/// What has become of each lease, in the order in which they were granted.
async fn rows(world: &World) -> Vec<String> {
    let rows = "SELECT concat_ws(' ', extract(epoch FROM ends_at)::bigint - 1790000123, \
                CASE WHEN renewed_at IS NOT NULL THEN 'renewed' END, CASE WHEN returned_at IS NOT NULL THEN 'returned' \
                END, CASE WHEN revoked_at IS NOT NULL THEN 'revoked' END) FROM leases ORDER BY granted_at";
    world.database.lines(rows).await
}

#[tokio::test]
async fn beats_carry_the_lease_in_their_ladder_until_its_end() {
    let world = World::with(r#"{"silence_grace": 1000, "silence_degraded": 1000}"#, 5).await;
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, 50_000).await;
    assert_eq!(lease.ends_at, START + 50_000);
    world.pass(100);
    let expected = ["3700 leased", "50000 grace", "51000 degraded", "52000 locked"];
    assert_eq!(beat(&mut agent, &world).await, expected);
    world.pass(46_300);
    let expected = ["50000 grace", "51000 degraded", "52000 locked"];
    assert_eq!(beat(&mut agent, &world).await, expected, "the silence that counts begins when it ends");
    world.pass(1);
    assert_eq!(beat(&mut agent, &world).await[0], "50001 grace", "later than its end");
    world.pass(3599);
    assert_eq!(beat(&mut agent, &world).await[0], "53600 grace", "it has ended");
    assert_eq!(rows(&world).await, ["50000"]);
    assert_eq!(world.database.value("SELECT count(lease_id) FROM installs").await, "0");
}

#[tokio::test]
async fn a_silent_install_is_leased_and_then_judged_from_the_leases_end_on() {
    let world = World::with(r#"{"silence_grace": 1000, "silence_degraded": 1000}"#, 5).await;
    let store = world.database.store(50).await;
    let mut agent = world.agent(1).await;
    agent.take_lease(&world.server, 50_000).await;
    let mut states = Vec::new();
    for at in [3599, 3600, 49_999, 50_000, 51_000, 52_000] {
        world.database.clock.set(START + at);
        let shown = admin::install::show(&store, agent.install).await.unwrap();
        states.push((shown.decision.state.as_str(), shown.decision.reason.as_str()));
    }
    let silent = "out_of_contact";
    assert_eq!(
        states,
        [
            ("authorized", "ok"),
            ("leased", "offline_lease"),
            ("leased", "offline_lease"),
            ("grace", silent),
            ("degraded", silent),
            ("locked", silent)
        ]
    );
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
}

#[tokio::test]
async fn asking_while_a_lease_is_live_renews_it_under_a_new_id() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let first = agent.take_lease(&world.server, WEEK).await;
    world.pass(100);
    let second = agent.take_lease(&world.server, 5000).await;
    assert_ne!(second.id, first.id);
    assert_eq!(
        ladder(&second.claims(&agent.secret)),
        ["3700 leased", "5100 grace", "609900 degraded", "1214700 locked"]
    );
    assert_eq!(rows(&world).await, ["604800 renewed", "5100"]);
    assert_eq!(
        beat(&mut agent, &world).await[1],
        "5100 grace",
        "the newer one counts, though it ends earlier"
    );
    assert_eq!(agent.return_lease(&world.server, first.id).await.word(), "404 not_found");
    assert_eq!(agent.return_lease(&world.server, second.id).await.word(), "200 authorized");
    assert_eq!(rows(&world).await, ["604800 renewed", "5100 returned"]);
}

#[tokio::test]
async fn a_lease_that_was_returned_is_over_with_a_decision() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, WEEK).await;
    world.pass(60);
    let answer = agent.return_lease(&world.server, lease.id).await;
    assert_eq!(answer.word(), "200 authorized");
    assert_eq!(
        (&answer.json()["server_time"], &answer.json()["next_heartbeat_in"]),
        (&json!(START + 60), &json!(300))
    );
    let claims = answer.claims();
    assert_eq!((&claims["ctr"], &claims["high"], &claims["iat"]), (&json!(2), &json!(2), &json!(START + 60)));
    assert_eq!(ladder(&claims)[0], "3660 grace");
    assert_eq!(beat(&mut agent, &world).await[0], "3660 grace");
    assert_eq!(rows(&world).await, ["604800 returned"]);
    let log = "SELECT operation || ' ' || outcome || ' ' || counter || ' ' || state FROM heartbeats WHERE counter = 2";
    assert_eq!(world.database.lines(log).await, ["lease-return accepted 2 authorized"]);
}

#[tokio::test]
async fn what_is_no_live_lease_of_the_install_is_not_found_and_consumes_nothing() {
    let world = World::new().await;
    let (mut agent, mut other) = (world.agent(1).await, world.agent(2).await);
    let theirs = other.take_lease(&world.server, WEEK).await;
    let returned = agent.take_lease(&world.server, 60).await;
    agent.return_lease(&world.server, returned.id).await;
    let ended = agent.take_lease(&world.server, 60).await;
    world.pass(60);
    let nobodys = LeaseId::new(1, [1; 10]);
    for (what, lease) in
        [("another's", theirs.id), ("returned", returned.id), ("ended", ended.id), ("nobody's", nobodys)]
    {
        assert_eq!(agent.return_lease(&world.server, lease).await.word(), "404 not_found", "{what}");
    }
    let path = "/v1/leases/0192F0A2-1111-7CCC-9DDD-FEDCBA987654/return";
    let operation = Operation::LeaseReturn(nobodys);
    assert_eq!(agent.ask(&world.server, path, &operation).await.word(), "404 not_found", "no lease's id");
    assert_eq!(world.database.value("SELECT max(high) FROM installs").await, "3");
    agent.counter = 3;
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized", "its counter was never used");
    assert_eq!(rows(&world).await.len(), 3);
}

#[tokio::test]
async fn a_return_is_proved_for_that_lease_and_judged_once() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, WEEK).await;
    let path = format!("/v1/leases/{}/return", lease.id);
    let now = world.server.edge.now();
    for operation in [Operation::LeaseReturn(LeaseId::new(1, [1; 10])), Operation::Lease, Operation::Rekey] {
        let proof = agent.prove(&operation, now, b"");
        assert_eq!(
            world.server.post(&path, Some(&proof), "").await.word(),
            "401 invalid_proof",
            "{operation:?}"
        );
    }
    assert_eq!(world.server.post(&path, None, "").await.word(), "401 invalid_proof");
    let proof = agent.prove(&Operation::LeaseReturn(lease.id), now, b"[]");
    assert_eq!(world.server.post(&path, Some(&proof), "[]").await.word(), "422 invalid");
    let proof = agent.prove(&Operation::LeaseReturn(lease.id), now, b"{}");
    assert_eq!(world.server.post(&path, Some(&proof), "{}").await.word(), "200 authorized");
    assert_eq!(world.server.post(&path, Some(&proof), "{}").await.word(), "409 nonce_replayed");
}

#[tokio::test]
async fn a_copy_and_a_revoked_install_may_not_return_a_lease() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, WEEK).await;
    let mut copy = agent.clone();
    agent.beat(&world.server).await;
    assert_eq!(copy.return_lease(&world.server, lease.id).await.word(), "403 forbidden");
    let revoke = format!("UPDATE installs SET revoked_at = to_timestamp({START}), revision = revision + 1");
    world.database.run(&revoke).await;
    assert_eq!(agent.return_lease(&world.server, lease.id).await.word(), "403 forbidden");
    assert_eq!(agent.ask_lease(&world.server, 60).await.word(), "403 forbidden");
    assert_eq!(rows(&world).await, ["604800"]);
    let log = "SELECT outcome FROM heartbeats WHERE operation = 'lease-return' ORDER BY counter";
    assert_eq!(world.database.lines(log).await, ["clone", "refused"]);
}

#[tokio::test]
async fn a_suspended_install_may_return_its_lease() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, WEEK).await;
    world.database.run("UPDATE installs SET suspended_at = to_timestamp(1), revision = revision + 1").await;
    assert_eq!(agent.return_lease(&world.server, lease.id).await.word(), "200 suspended");
}

#[tokio::test]
async fn leaving_returns_the_lease() {
    let world = World::with("{}", 1).await;
    let mut agent = world.agent(1).await;
    agent.take_lease(&world.server, WEEK).await;
    let left = agent.ask(&world.server, "/v1/deactivate", &Operation::Deactivate).await;
    assert_eq!(left.status, 204);
    assert_eq!(rows(&world).await, ["604800 returned"]);
    world.agent(2).await;
}

#[tokio::test]
async fn a_reinstalled_machine_is_still_on_its_lease() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, WEEK).await;
    let mut again = world.agent(1).await;
    assert_eq!(beat(&mut again, &world).await[0], "3600 leased");
    assert_eq!(again.return_lease(&world.server, lease.id).await.word(), "200 authorized");
}

#[tokio::test]
async fn a_revoked_lease_is_in_force_until_the_install_calls() {
    let world = World::new().await;
    let store = world.database.store(50).await;
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, WEEK).await;
    world.pass(10_000);
    assert!(revoke(&world, lease.id).await);
    let shown = admin::install::show(&store, agent.install).await.unwrap();
    assert_eq!(shown.decision.state.as_str(), "leased", "it has not heard of it");
    assert_eq!(
        beat(&mut agent, &world).await[0],
        "13600 grace",
        "the token of that very contact leaves it out"
    );
    let refusal = "403 lease_refused lease_revoked";
    assert_eq!(refused(&agent.ask_lease(&world.server, 60).await), refusal);
    assert_eq!(agent.return_lease(&world.server, lease.id).await.word(), "404 not_found");
    world.pass(WEEK - 10_000 - 1);
    assert_eq!(refused(&agent.ask_lease(&world.server, 60).await), refusal);
    world.pass(1);
    agent.take_lease(&world.server, 60).await;
    assert_eq!(rows(&world).await, ["604800 revoked", "604860"]);
}

/// What a first contact after the revocation is, and what it answers.
async fn first_contact(world: &World, agent: &mut TestAgent, lease: LeaseId, operation: &str) -> Answer {
    match operation {
        "heartbeat" => agent.beat(&world.server).await,
        "lease" => agent.ask_lease(&world.server, 60).await,
        "rekey" => agent.rekey(&world.server).await,
        "lease-return" => agent.return_lease(&world.server, lease).await,
        "activate" => {
            let key = &world.license.key;
            let body = agent.machine.activation(key, &agent.machine.nonce()).to_string();
            let answer = world.server.post("/v1/activate", None, body).await;
            *agent = TestAgent::of(agent.machine.clone(), &answer);
            answer
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn every_contact_is_one_by_which_a_revocation_is_heard() {
    for (operation, word) in [
        ("heartbeat", "200 authorized"),
        ("lease", "403 lease_refused"),
        ("rekey", "200 -"),
        ("lease-return", "200 authorized"),
        ("activate", "201 authorized"),
    ] {
        let world = World::new().await;
        let mut agent = world.agent(1).await;
        let lease = agent.take_lease(&world.server, WEEK).await;
        assert!(revoke(&world, lease.id).await);
        let answer = first_contact(&world, &mut agent, lease.id, operation).await;
        assert_eq!(answer.word(), word, "{operation}");
        let state = "SELECT count(lease_id) || ' ' || max(extract(epoch FROM lease_barred_until))::bigint FROM installs";
        assert_eq!(world.database.value(state).await, format!("0 {}", START + WEEK), "{operation}");
        if answer.json()["token"].is_string() {
            assert_eq!(ladder(&answer.claims())[0], "3600 grace", "{operation}");
        }
        let refusal = "403 lease_refused lease_revoked";
        assert_eq!(refused(&agent.ask_lease(&world.server, 60).await), refusal, "{operation}");
        assert_eq!(rows(&world).await, ["604800 revoked"], "{operation}");
    }
}

#[tokio::test]
async fn only_a_live_lease_is_revoked_and_once() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let renewed = agent.take_lease(&world.server, WEEK).await;
    let returned = agent.take_lease(&world.server, WEEK).await;
    agent.return_lease(&world.server, returned.id).await;
    let ended = agent.take_lease(&world.server, 60).await;
    world.pass(60);
    for lease in [renewed.id, returned.id, ended.id, LeaseId::new(1, [1; 10])] {
        assert!(!revoke(&world, lease).await);
    }
    let live = agent.take_lease(&world.server, 60).await;
    assert!(revoke(&world, live.id).await);
    assert!(!revoke(&world, live.id).await);
}

#[tokio::test]
async fn a_revocation_and_a_renewal_at_once_leave_no_live_lease_unrevoked_or_the_newer_one() {
    let world = World::with("{}", 20).await;
    let store = world.database.store(7).await;
    for number in 0..20 {
        let mut agent = world.agent(number).await;
        let lease = agent.take_lease(&world.server, WEEK).await;
        let (renewed, revoked) = tokio::join!(
            agent.ask_lease(&world.server, WEEK),
            crate::operator::revoke_lease(&store, lease.id)
        );
        let outcome = (renewed.status, revoked);
        assert!(outcome == (201, false) || outcome == (403, true), "{outcome:?}");
        let beaten = beat(&mut agent, &world).await;
        assert_eq!(beaten[0], if renewed.status == 201 { "3600 leased" } else { "3600 grace" });
    }
}
