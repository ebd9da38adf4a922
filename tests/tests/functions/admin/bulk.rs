//! Something done to many installs of a license: to all of them or to none.

use std::sync::Arc;

use protocol::InstallId;
use protocol::admin::Role;
use serde_json::{Value, json};
use store::testing::START;

use super::pointers;
use crate::{World, server};

const NOBODY: &str = "01920000-0000-7000-8000-000000000000";

fn path(world: &World, action: &str) -> String {
    format!("/licenses/{}/installs/{action}", world.license.id)
}

async fn count(world: &World, what: &str) -> String {
    world.database.value(&format!("SELECT count(*) FROM {what}")).await
}

#[tokio::test]
async fn of_ten_thousand_installs_all_are_changed_or_where_one_that_is_named_refuses_none() {
    let world = World::with("{}", 10_000).await;
    let operator = world.script(Role::Operator).await;
    let mut agent = world.agent(1).await;
    let made = world.server.edge.store.make_installs(world.license.id, 9_999, START).await;
    let mut named: Vec<InstallId> = made[..998].to_vec();
    named.insert(500, agent.install);
    let refusing = made[5_000];
    assert_eq!(operator.post(&format!("/installs/{refusing}/revoke"), &json!({})).await.status, 200);

    let before = count(&world, "admin_audit").await;
    named.insert(700, refusing);
    let body = json!({ "install_ids": named });
    let refused = operator.post(&path(&world, "suspend"), &body).await;
    assert_eq!(
        (refused.word().as_str(), pointers(&refused)),
        ("409 conflict", vec!["/install_ids/700".to_owned()])
    );
    let why = refused.json()["errors"][0]["detail"].clone();
    assert_eq!(why, format!("{refusing} is revoked, and that is final"));
    assert_eq!(count(&world, "installs WHERE suspended_at IS NOT NULL").await, "0", "nothing was done");
    assert_eq!(count(&world, "admin_audit").await, before);
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");

    let done = operator.post(&path(&world, "suspend"), &json!({})).await.json();
    assert_eq!((&done["changed"], &done["unchanged"]), (&json!(9_999), &json!(0)));
    assert_eq!(agent.beat(&world.server).await.word(), "200 suspended", "the next beat knows");
    assert_eq!(count(&world, "install_states WHERE state = 'suspended'").await, "9999", "lists know at once");
    let batch = done["batch_id"].as_str().unwrap();
    let tied = format!(
        "admin_audit WHERE action = 'install.suspend' AND after->>'batch_id' = '{batch}'
         AND before->>'status' = 'active' AND after->>'status' = 'suspended'"
    );
    assert_eq!(count(&world, &tied).await, "9999");
    let check = operator.get("/audit/verify").await.json();
    assert_eq!(check["intact"], true, "{check}");

    let again = operator.post(&path(&world, "suspend"), &Value::Null).await.json();
    assert_eq!((&again["changed"], &again["unchanged"]), (&json!(0), &json!(9_999)), "done twice is done");
    assert_eq!(count(&world, &tied.replace(batch, again["batch_id"].as_str().unwrap())).await, "0");
}

#[tokio::test]
async fn each_action_is_done_to_those_that_are_named_or_to_all_that_it_can_be_done_to() {
    let world = World::with(r#"{"require_approval": "yes"}"#, 9).await;
    let operator = world.script(Role::Operator).await;
    let mut agents = [world.agent(1).await, world.agent(2).await, world.agent(3).await];
    let two = json!({ "install_ids": [agents[0].install, agents[1].install] });
    for (action, body, changed, words) in [
        ("approve", two.clone(), 2, ["200 authorized", "200 authorized", "200 pending"]),
        ("approve", Value::Null, 1, ["200 authorized"; 3]),
        ("suspend", two.clone(), 2, ["200 suspended", "200 suspended", "200 authorized"]),
        ("resume", json!({}), 2, ["200 authorized"; 3]),
        ("reset", two.clone(), 2, ["401 invalid_proof", "401 invalid_proof", "200 authorized"]),
        ("revoke", json!({}), 3, ["401 invalid_proof", "401 invalid_proof", "200 revoked"]),
        ("suspend", json!({}), 0, ["401 invalid_proof", "401 invalid_proof", "200 revoked"]),
        ("revoke", two.clone(), 0, ["401 invalid_proof", "401 invalid_proof", "200 revoked"]),
    ] {
        let done = operator.post(&path(&world, action), &body).await;
        assert_eq!((done.status, &done.json()["changed"]), (200, &json!(changed)), "{action} {body}");
        for (agent, word) in agents.iter_mut().zip(words) {
            assert_eq!(agent.beat(&world.server).await.word(), word, "{action}");
        }
    }
}

#[tokio::test]
async fn what_can_not_be_done_is_told_of_each_and_changes_nothing() {
    let world = World::with("{}", 9).await;
    let operator = world.script(Role::Operator).await;
    let (one, two) = (world.agent(1).await.install, world.agent(2).await.install);
    let body = |ids: &[&str]| json!({ "install_ids": ids });
    let (first, second) = (one.to_string(), two.to_string());
    operator.post(&format!("/installs/{two}/revoke"), &json!({})).await;
    let suspend = path(&world, "suspend");
    let many: Vec<String> =
        (0..1_001).map(|number| format!("01920000-0000-7000-8000-{number:012}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (body, word, wrong) in [
        (body(&[&first, &second, NOBODY]), "409 conflict", &["/install_ids/1", "/install_ids/2"][..]),
        (body(&[&first, "x", &first]), "422 invalid", &["/install_ids/1", "/install_ids/2"]),
        (body(&[]), "422 invalid", &["/install_ids"]),
        (body(&many), "422 invalid", &["/install_ids"]),
        (json!({ "install_ids": null }), "422 invalid", &["/install_ids"]),
    ] {
        let refused = operator.post(&suspend, &body).await;
        assert_eq!(
            (refused.word().as_str(), pointers(&refused)),
            (word, wrong.iter().map(|pointer| (*pointer).to_owned()).collect())
        );
    }
    assert_eq!(
        operator.post(&format!("/licenses/{NOBODY}/installs/suspend"), &json!({})).await.word(),
        "404 not_found"
    );
    assert_eq!(count(&world, "installs WHERE suspended_at IS NOT NULL").await, "0");
    let viewer = world.script(Role::Viewer).await;
    assert_eq!(viewer.post(&suspend, &json!({})).await.word(), "403 forbidden");
}

#[tokio::test]
async fn bulk_calls_and_beats_at_once_over_two_servers_are_all_answered() {
    let world = World::with("{}", 200).await;
    let operator = world.script(Role::Operator).await;
    let other = server(&world.database, 2).await;
    let operator_of_other =
        super::Client { server: other.clone(), function: Arc::default(), headers: operator.headers.clone() };
    let mut agents = Vec::new();
    for number in 0..40 {
        agents.push(world.agent(number).await);
    }
    let mut newest_first: Vec<InstallId> = agents.iter().map(|agent| agent.install).collect();
    newest_first.reverse();
    let (suspend, resume) = (path(&world, "suspend"), path(&world, "resume"));
    for _ in 0..5 {
        let named = json!({ "install_ids": newest_first });
        let all = json!({});
        let calls = [
            operator.post(&suspend, &named),
            operator_of_other.post(&suspend, &all),
            operator_of_other.post(&resume, &named),
            operator.post(&resume, &all),
        ];
        let beats = agents.iter_mut().enumerate().map(|(number, agent)| {
            let server = if number % 2 == 0 { &world.server } else { &other };
            async move { agent.beat(server).await.word() }
        });
        let (calls, beats) =
            tokio::join!(futures_util::future::join_all(calls), futures_util::future::join_all(beats));
        assert!(
            calls.iter().all(|answer| answer.status == 200),
            "{:?}",
            calls.iter().map(edge::testing::Answer::word).collect::<Vec<_>>()
        );
        assert!(beats.iter().all(|word| word == "200 authorized" || word == "200 suspended"), "{beats:?}");
        world.pass(60);
    }
    assert_eq!(operator.get("/audit/verify").await.json()["intact"], true);
}
