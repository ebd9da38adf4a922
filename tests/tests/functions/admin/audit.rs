//! The admin audit log.

use protocol::admin::Role;
use serde_json::{Value, json};

use super::Client;
use crate::World;

/// The log, the newest row first.
async fn rows(client: &Client, query: &str) -> Vec<Value> {
    client.get(&format!("/audit?{query}")).await.json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_change_says_who_made_it_when_and_what_it_was_before_and_after() {
    let world = World::new().await;
    let owner = world.person(Role::Owner).await;
    let made = owner.post("/api-keys", &json!({ "name": "a", "role": "viewer" })).await.json();
    world.pass(60);
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    owner.patch(&path, &json!(1), &json!({ "name": "b" })).await;
    let viewer = world.script(Role::Viewer).await;
    let row = rows(&viewer, "action=api_key.change").await.remove(0);
    assert_eq!(row["at"], "2026-09-21T14:16:23Z");
    assert_eq!((&row["actor"], &row["actor_name"]), (&json!("user"), &json!("owner@example.com")));
    assert_eq!((&row["resource"], &row["resource_id"]), (&json!("api_key"), &made["id"]));
    assert_eq!((&row["before"]["name"], &row["after"]["name"]), (&json!("a"), &json!("b")));
    assert_eq!((&row["before"]["version"], &row["after"]["version"]), (&json!(1), &json!(2)));

    let actions = |rows: Vec<Value>| {
        rows.iter().map(|row| row["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let of_key = format!("resource=api_key&resource_id={}", made["id"].as_str().unwrap());
    assert_eq!(actions(rows(&viewer, &of_key).await), ["api_key.change", "api_key.create"]);
    assert_eq!(actions(rows(&viewer, "actor=command_line").await), ["api_key.create", "user.create"]);
    assert_eq!(actions(rows(&viewer, "from=2026-09-21T14:16:00Z&actor=user").await), ["api_key.change"]);
    let of_owner = format!("actor_id={}&to=2026-09-21T14:16:00Z", row["actor_id"].as_str().unwrap());
    assert_eq!(actions(rows(&viewer, &of_owner).await), ["api_key.create", "session.create"]);
}

#[tokio::test]
async fn what_is_refused_leaves_no_row() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    let before = rows(&owner, "").await.len();
    owner.post("/api-keys", &json!({ "name": "", "role": "viewer" })).await;
    owner.post("/users", &json!({ "email": "a@b", "role": "viewer", "password": "password1234" })).await;
    owner.delete("/users/01920000-0000-7000-8000-000000000000", &json!(1)).await;
    assert_eq!(rows(&owner, "").await.len(), before);
}

#[tokio::test]
async fn rows_that_are_written_at_once_follow_one_another() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    let make = |number: i32| {
        let (owner, body) = (owner.clone(), json!({ "name": format!("key {number}"), "role": "viewer" }));
        async move { owner.post("/api-keys", &body).await }
    };
    futures_util::future::join_all((0..12).map(make)).await;
    let check = owner.get("/audit/verify").await.json();
    assert_eq!((&check["intact"], &check["rows"]), (&json!(true), &json!(13)));
    assert_eq!(check["hash"], rows(&owner, "limit=1").await[0]["hash"]);
    assert_eq!(check["broken_at"], Value::Null);
}

#[tokio::test]
async fn no_row_can_be_changed_or_removed_and_one_that_was_by_force_is_found() {
    let tamperings = [
        ("UPDATE admin_audit SET after = '{\"name\":\"other\"}' WHERE seq = 2", 2),
        ("UPDATE admin_audit SET at = at + interval '1 second' WHERE seq = 3", 3),
        ("UPDATE admin_audit SET actor_name = 'somebody else' WHERE seq = 1", 1),
        ("DELETE FROM admin_audit WHERE seq = 2", 2),
        ("DELETE FROM admin_audit WHERE seq >= 4", 4),
        ("DELETE FROM admin_audit; UPDATE admin_audit_head SET seq = 4", 1),
        (
            "UPDATE admin_audit SET seq = seq + 10 WHERE seq IN (2, 3);
             UPDATE admin_audit SET seq = 25 - seq - 10 WHERE seq > 10",
            2,
        ),
    ];
    for (tampering, broken_at) in tamperings {
        let world = World::new().await;
        let owner = world.script(Role::Owner).await;
        for number in 0..3 {
            owner.post("/api-keys", &json!({ "name": format!("key {number}"), "role": "viewer" })).await;
        }
        let refused = world.database.refusal(tampering.split(';').next().unwrap()).await;
        assert!(refused.contains("never change"), "{tampering}: {refused}");
        world.database.run(&format!("SET session_replication_role = replica; {tampering}")).await;
        let check = owner.get("/audit/verify").await.json();
        assert_eq!(
            (&check["intact"], &check["broken_at"]),
            (&json!(false), &json!(broken_at)),
            "{tampering}: {check}"
        );
    }
}

#[tokio::test]
async fn the_role_that_serves_may_write_rows_and_change_none() {
    let world = World::new().await;
    let may =
        |privilege: &str| format!("SELECT has_table_privilege('qt_plain', 'admin_audit', '{privilege}')");
    world
        .database
        .run("DO $$ BEGIN CREATE ROLE qt_plain; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        .await;
    // An owner that is no superuser, as the role that serves and migrates is.
    world.database.run("ALTER TABLE admin_audit OWNER TO qt_plain").await;
    for (privilege, has) in
        [("INSERT", "t"), ("SELECT", "t"), ("UPDATE", "f"), ("DELETE", "f"), ("TRUNCATE", "f")]
    {
        assert_eq!(world.database.value(&may(privilege)).await, has, "{privilege}");
    }
}
