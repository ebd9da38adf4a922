//! `POST /v1/leases` and `POST /v1/leases/{lease_id}/return`.

use std::sync::Arc;

use edge::testing::{Answer, TestAgent, TestLease};
use protocol::LeaseId;
use protocol::proof::Operation;
use protocol::token::{Expect, verify_lease};
use serde_json::json;

use super::{World, assert_problem, now};
use crate::site::{ISSUER, PRODUCT};

impl World {
    async fn ask_lease(&self, agent: &mut TestAgent, seconds: i64) -> Answer {
        let now = now();
        let body = agent.body(now).replacen('{', &format!(r#"{{"duration_seconds":{seconds},"#), 1);
        let proof = agent.prove(&Operation::Lease, now, body.as_bytes());
        self.post("/v1/leases", Some(&proof), body).await
    }

    async fn take_lease(&self, agent: &mut TestAgent, seconds: i64) -> TestLease {
        let answer = self.ask_lease(agent, seconds).await;
        assert_eq!(answer.status, 201, "{}", answer.word());
        TestLease::of(&answer)
    }

    async fn return_lease(&self, agent: &mut TestAgent, lease: LeaseId) -> Answer {
        self.ask(agent, &format!("/v1/leases/{lease}/return"), &Operation::LeaseReturn(lease)).await
    }
}

pub(super) async fn a_lease_is_for_this_install_alone_and_says_what_holds(world: Arc<World>) {
    let key = world.site.license(r#"{"lease_max_seconds": 7200}"#, 2).await;
    let mut agent = world.agent(&key, 1).await;
    let other = world.agent(&key, 2).await;
    let answer = world.ask_lease(&mut agent, 604_800).await;
    assert_eq!(answer.status, 201, "{}", answer.word());
    assert_eq!(answer.headers["cache-control"], "no-store");
    let said = answer.json();
    assert_eq!(said.as_object().unwrap().len(), 4, "{said}");
    let lease = TestLease::of(&answer);
    assert_eq!(
        lease.ends_at,
        said["server_time"].as_i64().unwrap() + 7200,
        "no longer than the profile has it"
    );
    assert!(protocol::lease::open(&lease.artifact, &other.secret, lease.id).is_err());
    let expect = Expect {
        iss: ISSUER,
        aud: &PRODUCT.parse().unwrap(),
        sub: agent.install,
        now: Some(now()),
        request: None,
        newest: None,
    };
    let claims = verify_lease(&lease.signed(&agent.secret), &world.keyset().await, &expect).unwrap();
    assert_eq!((claims.exp, claims.ctr), (lease.ends_at, agent.counter));
    assert_eq!(lease.claims(&agent.secret)["fp"], json!(agent.machine.fingerprint));
    let ladder = &world.beat(&mut agent).await.claims()["ladder"];
    assert_eq!(ladder[0][1], "leased", "{ladder}");
}

pub(super) async fn another_lease_takes_the_place_of_the_first(world: Arc<World>) {
    let mut agent = world.lone_agent(r#"{"lease_max_outstanding": 1}"#).await;
    let first = world.take_lease(&mut agent, 3600).await;
    let second = world.take_lease(&mut agent, 7200).await;
    assert_ne!(first.id, second.id);
    assert_problem(&world.return_lease(&mut agent, first.id).await, "404 not_found", "not the live one");
    assert_eq!(world.return_lease(&mut agent, second.id).await.word(), "200 authorized");
}

pub(super) async fn a_lease_that_is_returned_is_over(world: Arc<World>) {
    let key = world.site.license(r#"{"lease_max_outstanding": 1}"#, 2).await;
    let (mut agent, mut other) = (world.agent(&key, 1).await, world.agent(&key, 2).await);
    let lease = world.take_lease(&mut agent, 3600).await;
    let refused = world.ask_lease(&mut other, 3600).await;
    assert_problem(&refused, "403 lease_refused", "one at a time");
    assert_eq!(refused.json()["reason"], "lease_limit");
    assert_problem(&world.return_lease(&mut other, lease.id).await, "404 not_found", "somebody else's");
    let answer = world.return_lease(&mut agent, lease.id).await;
    assert_eq!(answer.word(), "200 authorized");
    assert_ne!(answer.claims()["ladder"][0][1], "leased");
    assert_problem(&world.return_lease(&mut agent, lease.id).await, "404 not_found", "twice");
    world.take_lease(&mut other, 3600).await;
}

pub(super) async fn where_no_lease_is_allowed_none_is_granted(world: Arc<World>) {
    let mut agent = world.lone_agent(r#"{"lease_max_seconds": 0}"#).await;
    let refused = world.ask_lease(&mut agent, 3600).await;
    assert_problem(&refused, "403 lease_refused", "of a cap of 0");
    assert_eq!(refused.json()["reason"], "lease_not_allowed");
    let refused = world.ask_lease(&mut agent, -1).await;
    assert_problem(&refused, "422 invalid", "a negative duration");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/duration_seconds");
    world.site.operate(&["install", "suspend", &agent.install.to_string()]).await;
    let refused = world.ask_lease(&mut agent, 3600).await;
    assert_problem(&refused, "403 lease_refused", "of who may not work");
    assert_eq!(refused.json()["reason"], "install_suspended");
    assert_problem(
        &world.return_lease(&mut agent, "0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50".parse().unwrap()).await,
        "404 not_found",
        "none",
    );
}
