//! The incident hold: no breach takes an install below grace while it is on, in every process and in every judgement.

use edge::testing::{TestAgent, TestEdge};
use jose_jwt::base64url;
use protocol::admin::Role;
use protocol::offline::{OfflineReply, OfflineRequest};
use serde_json::{Value, json};
use store::testing::START;

use super::{Client, pointers};
use crate::lease_offline::{recipient, request};
use crate::{World, server};

/// Ten minutes of grace, ten of degraded.
const KNOBS: &str =
    r#"{"expiry_grace": 600, "expiry_degraded": 600, "silence_grace": 600, "silence_degraded": 600}"#;

/// The test's clock said as times are.
fn at(seconds: i64) -> String {
    protocol::admin::Time(START + seconds).to_string()
}

fn hold_until(seconds: i64) -> Value {
    json!({ "until": at(seconds), "reason": "renewals are late by our fault" })
}

async fn set(owner: &Client, until: i64) {
    let answer = owner.put("/hold", &hold_until(until)).await;
    assert_eq!(answer.status, 200, "{}", answer.word());
}

/// Ends the license's term so many seconds after the test's begin.
async fn end_license(world: &World, owner: &Client, seconds: i64) {
    let path = format!("/licenses/{}", world.license.id);
    let version = owner.get(&path).await.json()["version"].clone();
    let changed = owner.patch(&path, &version, &json!({ "expires_at": at(seconds) })).await;
    assert_eq!(changed.status, 200, "{}", changed.word());
}

async fn page(client: &Client, agent: &TestAgent) -> Value {
    client.get(&format!("/installs/{}", agent.install)).await.json()
}

/// How many installs a list of this state has.
async fn in_state(client: &Client, state: &str) -> usize {
    let page = client.get(&format!("/installs?state={state}")).await.json();
    page["items"].as_array().unwrap().len()
}

/// The rungs of a ladder in claims or on a page: when, and what.
fn rungs(ladder: &Value) -> Vec<(Value, String)> {
    let rung = |rung: &Value| match rung.as_array() {
        Some(claimed) => (claimed[0].clone(), claimed[1].as_str().unwrap().to_owned()),
        None => (rung["at"].clone(), rung["state"].as_str().unwrap().to_owned()),
    };
    ladder.as_array().unwrap().iter().map(rung).collect()
}

#[tokio::test]
async fn what_would_be_locked_is_in_grace_while_held_and_falls_at_the_very_end() {
    let world = World::with(KNOBS, 5).await;
    let owner = world.script(Role::Owner).await;
    let mut agent = world.agent(1).await;
    let other = server(&world.database, 2).await;
    end_license(&world, &owner, 100).await;
    world.pass(700);
    assert_eq!(agent.beat(&other).await.word(), "200 degraded");
    world.pass(600);
    assert_eq!(agent.beat(&other).await.word(), "200 locked");

    set(&owner, 5_000).await;
    let told = agent.beat(&other).await;
    assert_eq!(told.word(), "200 grace", "another process's next beat knows of it");
    let claims = told.claims();
    assert_eq!((&claims["rule"], &claims["reason"]), (&json!(11), &json!("license_expired")));
    let end = (json!(START + 5_000), "locked".to_owned());
    assert_eq!(rungs(&claims["ladder"])[0], end, "the token's ladder says when");

    let shown = page(&owner, &agent).await;
    assert_eq!((&shown["state"], &shown["decision"]["rule"]), (&json!("grace"), &json!(11)));
    assert_eq!(shown["held_until"], at(5_000));
    assert_eq!(rungs(&shown["ladder"])[0], (json!(at(5_000)), "locked".to_owned()));
    let because = |rule: usize| shown["trace"][rule - 1]["because"].as_str().unwrap().to_owned();
    assert!(because(9).ends_with(&format!("; hold until {}", at(5_000))), "{}", because(9));
    assert_eq!(
        (&shown["trace"][8]["matched"], &shown["trace"][9]["matched"]),
        (&json!(false), &json!(false))
    );
    let held = format!("; the incident hold keeps it from being locked, until {}", at(5_000));
    let remedy = shown["remedy"].as_str().unwrap();
    assert!(remedy.contains("with expires_at") && remedy.ends_with(&held), "{remedy}");

    world.pass(5_000 - 1_300 - 1);
    let told = agent.beat(&world.server).await;
    assert_eq!(told.word(), "200 grace");
    assert_eq!(told.claims()["exp"], START + 5_000, "no token says grace beyond the hold");
    world.pass(1);
    assert_eq!(agent.beat(&world.server).await.word(), "200 locked", "nobody has ended it");
    let shown = page(&owner, &agent).await;
    assert_eq!(shown["held_until"], Value::Null);
    assert!(!shown["remedy"].as_str().unwrap().contains("hold"), "{}", shown["remedy"]);
}

#[tokio::test]
async fn what_is_degraded_is_held_too_and_falls_to_what_it_has_come_to_when_the_hold_is_ended() {
    let world = World::with(KNOBS, 5).await;
    let owner = world.script(Role::Owner).await;
    let mut agent = world.agent(1).await;
    end_license(&world, &owner, 100).await;
    world.pass(750);
    assert_eq!(agent.beat(&world.server).await.word(), "200 degraded");
    set(&owner, 50_000).await;
    assert_eq!(agent.beat(&world.server).await.word(), "200 grace");
    world.pass(1_000);
    assert_eq!(agent.beat(&world.server).await.word(), "200 grace", "past both windows");
    assert_eq!(owner.call(http::Method::DELETE, "/hold", &Value::Null).await.status, 204);
    assert_eq!(agent.beat(&world.server).await.word(), "200 locked");
}

#[tokio::test]
async fn a_hold_softens_breaches_and_nothing_else() {
    let world = World::with(KNOBS, 9).await;
    let owner = world.script(Role::Owner).await;
    let mut agents = [world.agent(1).await, world.agent(2).await, world.agent(3).await, world.agent(4).await];
    for (agent, action) in [(&agents[0], "suspend"), (&agents[1], "revoke")] {
        assert_eq!(
            owner.post(&format!("/installs/{}/{action}", agent.install), &json!({})).await.status,
            200
        );
    }
    agents[2].machine = edge::testing::TestMachine::new(77);
    end_license(&world, &owner, 100).await;
    world.pass(2_000);
    set(&owner, 9_000).await;
    for (agent, word) in agents.iter_mut().zip(["suspended", "revoked", "locked", "grace"]) {
        assert_eq!(agent.beat(&world.server).await.word(), format!("200 {word}"));
    }
    assert_eq!(page(&owner, &agents[2]).await["decision"]["reason"], "fingerprint_mismatch");
    owner.post(&format!("/licenses/{}/suspend", world.license.id), &json!({})).await;
    assert_eq!(agents[3].beat(&world.server).await.word(), "200 suspended");
}

#[tokio::test]
async fn activations_leases_and_answers_to_offline_requests_carry_it() {
    let knobs = r#"{"expiry_grace": 0, "expiry_degraded": 0}"#;
    let world = World::with(knobs, 9).await;
    let owner = world.script(Role::Owner).await;
    end_license(&world, &owner, 1_000).await;
    set(&owner, 2_000).await;
    let held = [(json!(START + 1_000), "grace".to_owned()), (json!(START + 2_000), "locked".to_owned())];
    let claims_of = |token: &str| -> Value {
        serde_json::from_slice(&base64url::decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
    };

    let machine = edge::testing::TestMachine::new(1);
    let body = machine.activation(&world.license.key, &machine.nonce()).to_string();
    let activated = world.server.post("/v1/activate", None, body).await;
    assert_eq!(rungs(&activated.claims()["ladder"])[..2], held);

    let mut agent = TestAgent::of(machine, &activated);
    let lease = agent.take_lease(&world.server, 500).await;
    assert_eq!(rungs(&lease.claims(&agent.secret)["ladder"])[..2], held);

    let asked = OfflineRequest {
        iat: world.server.edge.now(),
        duration_seconds: 500,
        ..request(2, &world.license.key)
    };
    let file: Value = serde_json::from_str(&asked.sign(&world.license.key)).unwrap();
    let answered = owner.post("/leases/offline-requests", &file).await;
    assert_eq!(answered.status, 200, "{}", answered.word());
    let reply = OfflineReply::open(answered.json()["reply"].as_str().unwrap(), &recipient()).unwrap();
    assert_eq!(rungs(&claims_of(reply.token.as_str())["ladder"])[..2], held);

    world.pass(1_000);
    assert_eq!(agent.beat(&world.server).await.word(), "200 grace");
    assert_eq!(
        agent.ask_lease(&world.server, 60).await.json()["reason"],
        "license_expired",
        "grace takes no lease"
    );
}

#[tokio::test]
async fn lists_and_counts_follow_within_a_minute_when_it_is_set_when_it_ends_and_when_it_is_ended() {
    let world = World::with(KNOBS, 5).await;
    let owner = world.script(Role::Owner).await;
    world.agent(1).await;
    // Silent past both windows.
    world.pass(3_600 + 1_200);
    assert_eq!(in_state(&owner, "locked").await, 1);
    set(&owner, 10_000).await;
    world.pass(60);
    assert_eq!((in_state(&owner, "grace").await, in_state(&owner, "locked").await), (1, 0));
    let overview = owner.get("/overview").await.json();
    let of = |state: &str| {
        let counts = overview["installs"].as_array().unwrap();
        counts.iter().find(|count| count["state"] == state).unwrap()["installs"].clone()
    };
    assert_eq!((of("grace"), of("locked")), (json!(1), json!(0)));
    assert_eq!(overview["hold"]["until"], at(10_000));
    assert_eq!(overview["falling_installs"][0]["falls_at"], at(10_000), "it falls when the hold ends");

    world.pass(10_000 - 4_860);
    assert_eq!(in_state(&owner, "locked").await, 1, "nobody was told, no agent has called");
    assert_eq!(owner.get("/overview").await.json()["hold"]["until"], Value::Null);

    set(&owner, 20_000).await;
    world.pass(60);
    assert_eq!(in_state(&owner, "grace").await, 1);
    owner.call(http::Method::DELETE, "/hold", &Value::Null).await;
    world.pass(60);
    assert_eq!(in_state(&owner, "locked").await, 1);
    assert_eq!(world.database.value("SELECT count(*) FROM restatements").await, "0", "all is worked off");
}

#[tokio::test]
async fn whoever_sets_replaces_or_ends_it_is_written_down_once_with_before_and_after() {
    let world = World::new().await;
    let (owner, viewer) = (world.person(Role::Owner).await, world.script(Role::Viewer).await);
    let none = json!({ "until": null, "reason": null, "since": null, "set_by": null });
    assert_eq!(viewer.get("/hold").await.json(), none);
    for _ in 0..2 {
        let answer = owner.put("/hold", &hold_until(100)).await.json();
        assert_eq!(answer, viewer.get("/hold").await.json());
        let held = json!({ "until": at(100), "reason": "renewals are late by our fault", "since": at(0),
                           "set_by": "owner@example.com" });
        assert_eq!(answer, held, "the same again is done");
    }
    world.pass(50);
    owner.put("/hold", &json!({ "until": at(200), "reason": "longer" })).await;
    for _ in 0..2 {
        assert_eq!(owner.call(http::Method::DELETE, "/hold", &Value::Null).await.status, 204);
        assert_eq!(viewer.get("/hold").await.json(), none);
    }
    let log = viewer.get("/audit?resource=hold").await.json();
    let rows: Vec<_> = log["items"].as_array().unwrap().iter().rev().collect();
    let actions: Vec<_> = rows.iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["hold.set", "hold.set", "hold.end"]);
    assert_eq!((&rows[0]["before"], &rows[0]["after"]["until"]), (&Value::Null, &json!(at(100))));
    assert_eq!((&rows[1]["before"], &rows[1]["after"]["since"]), (&rows[0]["after"], &json!(at(50))));
    assert_eq!((&rows[2]["before"], &rows[2]["after"]), (&rows[1]["after"], &Value::Null));

    // One that has ended by itself is none any more.
    owner.put("/hold", &hold_until(60)).await;
    world.pass(10);
    assert_eq!(viewer.get("/hold").await.json(), none);
    assert_eq!(owner.call(http::Method::DELETE, "/hold", &Value::Null).await.status, 204);
    assert_eq!(viewer.get("/audit?action=hold.end").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_hold_ends_later_than_now_within_ninety_days_and_has_a_reason() {
    let world = World::new().await;
    let (owner, operator) = (world.script(Role::Owner).await, world.script(Role::Operator).await);
    let quarter = 90 * 86_400;
    for (body, wrong) in [
        (hold_until(0), &["/until"][..]),
        (hold_until(-1), &["/until"]),
        (hold_until(quarter + 1), &["/until"]),
        (json!({}), &["/until", "/reason"]),
        (json!({ "until": "soon", "reason": "" }), &["/until", "/reason"]),
        (json!({ "until": at(60), "reason": "x".repeat(501) }), &["/reason"]),
    ] {
        let refused = owner.put("/hold", &body).await;
        assert_eq!(
            (refused.word().as_str(), pointers(&refused)),
            ("422 invalid", wrong.iter().map(|p| (*p).to_owned()).collect()),
            "{body}"
        );
    }
    assert_eq!(owner.get("/audit?resource=hold").await.json()["items"], json!([]));
    assert_eq!(operator.put("/hold", &hold_until(60)).await.word(), "403 forbidden");
    assert_eq!(operator.call(http::Method::DELETE, "/hold", &Value::Null).await.word(), "403 forbidden");
    set(&owner, quarter).await;
}

#[tokio::test]
async fn every_process_measures_until_when_it_is_on() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    let other = server(&world.database, 2).await;
    let measured = async |server: &TestEdge| {
        let text = String::from_utf8(server.get("/metrics").await.body).unwrap();
        let line =
            text.lines().find(|line| line.starts_with("qubictether_hold_until_seconds ")).unwrap().to_owned();
        line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap()
    };
    assert_eq!(measured(&other).await, 0);
    set(&owner, 100).await;
    assert_eq!((measured(&world.server).await, measured(&other).await), (START + 100, START + 100));
    world.pass(100);
    assert_eq!(measured(&other).await, 0);
}
