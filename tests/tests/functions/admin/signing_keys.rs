//! Signing keys over HTTP: who knows of them, moved on, tainted.

use protocol::admin::Role;
use serde_json::{Value, json};

use crate::World;

fn statuses(keys: &Value, key_use: &str) -> Vec<String> {
    let items = keys["items"].as_array().unwrap_or_else(|| panic!("{keys}")).iter();
    let of_use = items.filter(|key| key["use"] == key_use);
    of_use.map(|key| key["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn keys_are_moved_on_when_they_may_and_the_fleet_learns_of_it_with_its_beats() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    let (mut beating, _silent) = (world.agent(1).await, world.agent(2).await);
    assert_eq!(
        owner.post("/signing-keys/rotate", &json!({ "use": "token" })).await.word(),
        "409 conflict",
        "too early"
    );
    world.pass(86_400);
    let rotated = owner.post("/signing-keys/rotate", &json!({ "use": "token" })).await.json();
    assert_eq!(statuses(&rotated, "token"), ["retiring", "active", "prepared"]);
    assert_eq!(statuses(&rotated, "lease"), ["active", "prepared"]);
    assert_eq!(rotated["keyset"]["version"], 2);
    assert_eq!(rotated["fleet"], json!({ "installs": 2, "informed": 0 }));
    world.pass(120);
    assert_eq!(beating.beat(&world.server).await.status, 200);
    let listed = owner.get("/signing-keys").await.json();
    assert_eq!(listed["fleet"], json!({ "installs": 2, "informed": 1 }));
    let first = owner.get("/signing-keys?limit=2").await.json();
    let rest =
        owner.get(&format!("/signing-keys?cursor={}", first["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!((first["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (2, 3));
}

#[tokio::test]
async fn a_tainted_key_is_trusted_no_more_and_the_log_says_who_said_so() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    let keys = owner.get("/signing-keys").await.json();
    let items = keys["items"].as_array().unwrap();
    let active = items.iter().find(|key| key["use"] == "token" && key["status"] == "active").unwrap();
    let path = format!("/signing-keys/{}/taint", active["kid"].as_str().unwrap());
    let tainted = owner.post(&path, &json!({})).await.json();
    // Published in one second, they are in no order.
    let mut token = statuses(&tainted, "token");
    token.sort_unstable();
    assert_eq!(token, ["active", "prepared", "tainted"]);
    assert_eq!(owner.post(&path, &json!({})).await.status, 200, "done twice is done");
    let log = owner.get("/audit?action=signing_key.taint").await.json();
    assert_eq!(
        (&log["items"][0]["resource_id"], &log["items"][0]["actor"]),
        (&active["kid"], &json!("api_key"))
    );
    for nobodys in ["nobodys", "%00", "a%00b", "%ff", &"A".repeat(43), &"A".repeat(2000)] {
        let answer = owner.post(&format!("/signing-keys/{nobodys}/taint"), &json!({})).await;
        assert_eq!(answer.word(), "404 not_found", "{nobodys}");
    }
    assert_eq!(owner.post("/signing-keys/rotate", &json!({ "use": "x" })).await.word(), "422 invalid");
}
