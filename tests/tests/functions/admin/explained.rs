//! An install's own page: what it is judged by, and a remedy that mends it when it is followed to the letter.

use edge::testing::{TestAgent, TestMachine};
use protocol::admin::Role;
use serde_json::{Value, json};

use super::Client;
use crate::World;

async fn page(client: &Client, agent: &TestAgent) -> Value {
    client.get(&format!("/installs/{}", agent.install)).await.json()
}

/// Does what a remedy says first: its first `POST`, as it stands there.
async fn follow(client: &Client, remedy: &str) {
    let path = remedy.split_once("POST /v1/admin").unwrap().1;
    let path = path.split(' ').next().unwrap();
    let done = client.post(path, &Value::Null).await;
    assert_eq!(done.status, 200, "{remedy}: {}", done.json());
}

/// Changes the license's terms as a remedy says: its member becomes this.
async fn change(client: &Client, remedy: &str, terms: &Value) {
    let path = remedy.split_once("PATCH /v1/admin").unwrap().1.split(' ').next().unwrap();
    let version = client.get(path).await.json()["version"].clone();
    let member = terms.as_object().unwrap().keys().next().unwrap();
    assert!(remedy.contains(&format!("with {member} ")), "{remedy}");
    assert_eq!(client.patch(path, &version, terms).await.status, 200, "{remedy}");
}

#[tokio::test]
async fn a_page_tells_facts_profile_components_seat_and_secret() {
    let world = World::with(r#"{"weights": {"mac": 3}}"#, 5).await;
    let operator = world.script(Role::Operator).await;
    let mut first = world.agent(1).await;
    world.pass(1);
    let mut agent = world.agent(2).await;
    assert_eq!(page(&operator, &agent).await["secret"], "unused");
    agent.machine = TestMachine::with_components([99, 2, 2]);
    agent.skew = 7;
    world.pass(60);
    agent.beat(&world.server).await;
    let shown = page(&operator, &agent).await;
    let facts = json!({
        "license_revoked": false, "install_revoked": false, "license_suspended": false, "install_suspended": false,
        "clone_suspected": false, "awaiting_approval": false, "license_start": "2026-09-20T14:15:23Z",
        "license_end": null, "seats_exceeded_at": null, "last_contact": "2026-09-21T14:16:24Z", "lease_end": null,
        "clock_skew": 7, "agent_version": "1.4.2", "held_until": null,
    });
    assert_eq!(shown["facts"], facts);
    let profile = world.database.value("SELECT id FROM profiles").await;
    let judging = json!({ "id": profile, "name": "test-1", "number": 1, "active_number": 1, "percent": 100 });
    assert_eq!(shown["profile"], judging);
    assert_eq!(shown["seat"], json!({ "rank": 2, "taken": 2, "max_installs": 5 }));
    assert_eq!(shown["secret"], "in_use");
    let components = shown["components"].as_array().unwrap();
    let said: Vec<_> = components
        .iter()
        .map(|one| {
            format!(
                "{} {} {}",
                one["name"].as_str().unwrap(),
                one["comparison"].as_str().unwrap(),
                one["weight"]
            )
        })
        .collect();
    assert_eq!(said, ["board_serial differs 1", "mac matches 3", "machine_id matches 1"]);
    assert_eq!(components[0]["bound"].as_str().unwrap().len(), 8, "{components:?}");
    assert_eq!(shown["trace"][7]["because"], "score 4/5, min_match 0.6; board_serial differs");
    first.rekey(&world.server).await;
    assert_eq!(page(&operator, &first).await["secret"], "changing");
    first.beat(&world.server).await;
    assert_eq!(page(&operator, &first).await["secret"], "in_use");
    let reset = operator.post(&format!("/installs/{}/reset", first.install), &Value::Null).await.json();
    assert_eq!(reset["secret"], "none", "an action answers with the whole page");
    assert_eq!((&reset["profile"], &reset["seat"]["rank"]), (&judging, &json!(1)));
    let listed = operator.get("/installs").await.json();
    assert!(listed["items"][0].get("facts").is_none(), "lists have what lists need");
}

#[tokio::test]
async fn a_page_says_which_version_of_a_staged_profile_judges() {
    let world = World::with("{}", 100).await;
    let operator = world.script(Role::Operator).await;
    let path = format!("/profiles/{}", world.database.value("SELECT id FROM profiles").await);
    operator.post(&format!("{path}/versions"), &json!({ "knobs": {} })).await;
    operator.post(&format!("{path}/versions/2/publish"), &json!({ "percent": 50 })).await;
    let mut seen = [0, 0];
    for number in 0..12 {
        let mut agent = world.agent(number).await;
        let told = agent.beat(&world.server).await.claims()["pro"]["version"].as_i64().unwrap();
        let profile = page(&operator, &agent).await["profile"].clone();
        assert_eq!((&profile["number"], &profile["active_number"]), (&json!(told), &json!(2)));
        assert_eq!(profile["percent"], 50);
        seen[usize::try_from(told - 1).unwrap()] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[tokio::test]
async fn a_remedy_that_names_a_route_mends_it_when_that_is_called() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let mut agent = world.agent(1).await;
    let license = format!("/licenses/{}", agent.license);
    let install = agent.install;
    let column = |set: &str| format!("UPDATE installs SET {set}");
    let began = "to_timestamp(1790000123)";
    for (reason, names) in [
        ("license_suspended", format!("qubictether license resume {}", agent.license)),
        ("install_suspended", format!("qubictether install resume {install}")),
        ("awaiting_approval", format!("qubictether install approve {install}")),
        ("fingerprint_mismatch", "board_serial differs, mac differs; score 1/3, min_match 0.6".to_owned()),
        ("fingerprint_drift", "mac differs; score 2/3".to_owned()),
    ] {
        match reason {
            "license_suspended" => drop(operator.post(&format!("{license}/suspend"), &Value::Null).await),
            "install_suspended" => {
                drop(operator.post(&format!("/installs/{install}/suspend"), &Value::Null).await);
            }
            "awaiting_approval" => world.database.run(&column("awaiting_approval = true")).await,
            "fingerprint_mismatch" => agent.machine = TestMachine::with_components([9, 9, 1]),
            _ => agent.machine = TestMachine::with_components([9, 8, 1]),
        }
        agent.beat(&world.server).await;
        let shown = page(&operator, &agent).await;
        assert_eq!(shown["decision"]["reason"], reason);
        let remedy = shown["remedy"].as_str().unwrap();
        assert!(remedy.contains(&names), "{remedy}");
        follow(&operator, remedy).await;
        world.pass(60);
        assert_eq!(agent.beat(&world.server).await.word(), "200 authorized", "{remedy}");
        assert!(page(&operator, &agent).await.get("remedy").is_none());
    }
    world.database.run(&column(&format!("clone_suspected_at = {began}"))).await;
    let remedy = page(&operator, &agent).await["remedy"].as_str().unwrap().to_owned();
    assert!(remedy.contains("suspected since 2026-09-21T14:15:23Z") && remedy.contains("reset"), "{remedy}");
    follow(&operator, &remedy).await;
    assert_eq!(agent.beat(&world.server).await.word(), "401 invalid_proof");
    let again = agent.machine.activate(&world.server, &world.license.key).await.unwrap();
    assert_eq!(again.install, install, "the right machine is back in its install");
    assert_eq!(page(&operator, &again).await["decision"]["reason"], "ok");
}

#[tokio::test]
async fn a_remedy_that_names_a_term_mends_it_when_that_is_changed() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let mut agents = Vec::new();
    for number in 0..2 {
        world.pass(1);
        agents.push(world.agent(number).await);
    }
    let agent = &mut agents[1];
    let path = format!("/licenses/{}", agent.license);
    for (broken, reason, names, mended) in [
        (
            json!({ "starts_at": "2026-09-22T00:00:00Z" }),
            "license_not_started",
            "the license starts 2026-09-22T00:00:00Z",
            json!({ "starts_at": "2026-09-20T00:00:00Z" }),
        ),
        (
            json!({ "expires_at": "2026-09-21T14:00:00Z" }),
            "license_expired",
            "ended 2026-09-21T14:00:00Z",
            json!({ "expires_at": null }),
        ),
        (
            json!({ "max_installs": 1 }),
            "seats_exceeded",
            "has 1 seats, 2 are taken, and this one's place among the holders is 2: ",
            json!({ "max_installs": 2 }),
        ),
    ] {
        let version = operator.get(&path).await.json()["version"].clone();
        assert_eq!(operator.patch(&path, &version, &broken).await.status, 200, "{reason}");
        let shown = page(&operator, agent).await;
        assert_eq!(shown["decision"]["reason"], reason);
        let remedy = shown["remedy"].as_str().unwrap();
        assert!(remedy.contains(names), "{remedy}");
        change(&operator, remedy, &mended).await;
        world.pass(60);
        assert_eq!(agent.beat(&world.server).await.word(), "200 authorized", "{remedy}");
    }
}

#[tokio::test]
async fn a_remedy_that_is_the_machines_says_what_is_wrong_with_it_and_what_is_final_says_so() {
    let world = World::with(r#"{"min_agent_version": "1.5.0"}"#, 5).await;
    let operator = world.script(Role::Operator).await;
    let mut agent = world.agent(1).await;
    let says = async |agent: &TestAgent, reason: &str, names: &[&str]| {
        let shown = page(&operator, agent).await;
        let remedy = shown["remedy"].as_str().unwrap();
        assert_eq!(shown["decision"]["reason"], reason, "{remedy}");
        assert!(names.iter().all(|name| remedy.contains(name)), "{remedy}");
    };
    says(&agent, "agent_outdated", &["agent 1.4.2", "1.5.0", "version 1 of profile test-1"]).await;
    "1.5.0".clone_into(&mut agent.version);
    agent.skew = -400;
    agent.beat(&world.server).await;
    says(&agent, "clock_skew", &["400 s behind", "max_clock_skew is 300 s"]).await;
    agent.skew = 0;
    world.pass(4_000);
    says(&agent, "out_of_contact", &["last heard of 2026-09-21T14:15:23Z", "silence_tolerance is 3600 s"])
        .await;
    agent.beat(&world.server).await;
    assert_eq!(page(&operator, &agent).await["decision"]["reason"], "ok");
    operator.post(&format!("/installs/{}/revoke", agent.install), &Value::Null).await;
    let install = agent.install.to_string();
    says(&agent, "install_revoked", &["nothing mends it", &install, "revoked since 2026-09-21T15:22:03Z"])
        .await;
    operator.post(&format!("/licenses/{}/revoke", agent.license), &Value::Null).await;
    says(&agent, "license_revoked", &["nothing mends it", &agent.license.to_string()]).await;
}
