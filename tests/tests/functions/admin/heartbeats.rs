//! The audit log of contacts over HTTP, and the overview that is drawn from it.

use protocol::admin::Role;
use serde_json::{Value, json};

use super::{Client, pointers};
use crate::World;

/// A member of every row that a query lists.
async fn listed(client: &Client, query: &str, member: &str) -> Vec<Value> {
    let page = client.get(&format!("/heartbeats?{query}")).await.json();
    page["items"]
        .as_array()
        .unwrap_or_else(|| panic!("{page}"))
        .iter()
        .map(|row| row[member].clone())
        .collect()
}

#[tokio::test]
async fn contacts_are_listed_the_newest_first_by_whose_and_what_and_when() {
    let world = World::new().await;
    let viewer = world.script(Role::Viewer).await;
    let (mut one, mut two) = (world.agent(1).await, world.agent(2).await);
    world.pass(100);
    one.beat(&world.server).await;
    world.pass(100);
    two.skew = 4_000;
    two.beat(&world.server).await;
    assert_eq!(listed(&viewer, "", "operation").await, ["heartbeat", "heartbeat", "activate", "activate"]);
    let of_one = format!("install_id={}", one.install);
    assert_eq!(listed(&viewer, &of_one, "counter").await, [1, 0]);
    let path = format!("/installs/{}/heartbeats", one.install);
    assert_eq!(viewer.get(&path).await.json(), viewer.get(&format!("/heartbeats?{of_one}")).await.json());
    let nobody = viewer.get("/installs/0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50/heartbeats").await;
    assert_eq!(nobody.word(), "404 not_found", "of an install that isn't there");
    assert_eq!(listed(&viewer, "state=warned", "install_id").await, [json!(two.install)]);
    assert_eq!(listed(&viewer, "rule=13", "reason").await, ["clock_skew"]);
    assert_eq!(listed(&viewer, "rule=13&state=grace", "reason").await, [""; 0]);
    assert_eq!(
        listed(&viewer, &format!("license_id={}&rule=14", world.license.id), "counter").await.len(),
        3
    );
    assert_eq!(listed(&viewer, "outcome=clone", "counter").await, [0; 0]);
    let window = "from=2026-09-21T14:16:00Z&to=2026-09-21T14:18:00Z";
    assert_eq!(listed(&viewer, window, "install_id").await, [json!(one.install)]);

    let first = viewer.get("/heartbeats?limit=1").await.json();
    world.pass(100);
    one.beat(&world.server).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = listed(&viewer, &format!("limit=3&cursor={cursor}"), "id").await;
    assert!(rest.len() == 3 && !rest.contains(&first["items"][0]["id"]), "what came meanwhile moves nothing");
    let refused = viewer.get("/heartbeats?rule=15&outcome=x&state=y&from=1").await;
    assert_eq!(pointers(&refused), ["/state", "/rule", "/outcome", "/from"]);
}

#[tokio::test]
async fn whoever_asks_for_a_table_gets_all_of_it_and_no_formula_of_an_agents() {
    let world = World::new().await;
    let viewer = world.script(Role::Viewer).await.with("accept", "text/csv");
    let mut agent = world.agent(1).await;
    agent.version = "=1+1,\"x\"".to_owned();
    agent.beat(&world.server).await;
    // More than are in memory at once.
    let copies = "INSERT INTO heartbeats (id, at, install_id, license_id, operation, outcome, counter, state, rule, reason,
                                          profile_id, profile_number, agent_version, instance_id)
                  SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, at - interval '1 second' * (n / 3),
                         install_id, license_id, operation, outcome, counter, state, rule, reason, profile_id,
                         profile_number, '1.0.0', instance_id
                  FROM heartbeats, generate_series(1, 2500) AS n WHERE operation = 'activate'";
    world.database.run(copies).await;
    let answer = viewer.get("/heartbeats").await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    let table = String::from_utf8(answer.body).unwrap();
    let lines: Vec<&str> = table.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 1 + 2_502, "the heading, and every row once");
    assert!(lines[0].starts_with("at,id,install_id,license_id,operation,outcome"));
    assert!(table.contains("\"'=1+1,\"\"x\"\"\""), "{}", lines[1]);
    let mut ids: Vec<&str> = lines[1..].iter().map(|line| line.split(',').nth(1).unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2_502);
    let few = viewer.get("/heartbeats?counter=1").await;
    assert_eq!(few.word(), "422 invalid", "parameters are looked at all the same");
}

#[tokio::test]
async fn the_overview_counts_states_hours_and_rules_and_names_what_is_about_to_end_or_fall() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let mut beating = world.agent(1).await;
    let silent = world.agent(2).await;
    for _ in 0..13 {
        world.pass(300);
        beating.beat(&world.server).await;
    }
    let path = format!("/licenses/{}", world.license.id);
    operator.patch(&path, &json!(1), &json!({ "expires_at": "2026-09-30T00:00:00Z" })).await;
    let at_once = operator.get("/overview").await.json();
    world.pass(120);
    let overview = operator.get("/overview").await.json();
    assert_eq!(
        (&at_once["heartbeats"], &at_once["decisions"]),
        (&overview["heartbeats"], &overview["decisions"]),
        "what isn't counted yet is there, and once"
    );
    let count = |state: &str| {
        let all = overview["installs"].as_array().unwrap();
        all.iter().find(|count| count["state"] == state).unwrap()["installs"].clone()
    };
    assert_eq!((count("authorized"), count("grace"), count("revoked")), (json!(1), json!(1), json!(0)));
    assert_eq!(overview["installs"].as_array().unwrap().len(), 10, "all ten, from best to worst");
    let heartbeats: i64 = overview["heartbeats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hour| hour["heartbeats"].as_i64().unwrap())
        .sum();
    assert_eq!(heartbeats, 15, "two activations and thirteen beats");
    assert_eq!(overview["decisions"], json!([{ "rule": 14, "state": "authorized", "heartbeats": 15 }]));
    assert_eq!(overview["expiring_licenses"][0]["id"], json!(world.license.id));
    let falling = &overview["falling_installs"][0];
    assert_eq!((&falling["install_id"], &falling["state"]), (&json!(silent.install), &json!("grace")));
    assert_eq!(operator.get("/overview").await.json()["decisions"], overview["decisions"], "counted once");
}
