//! API keys: made, changed, ended.

use protocol::admin::Role;
use serde_json::json;

use super::pointers;
use crate::World;

#[tokio::test]
async fn a_key_is_told_once_opens_what_its_role_does_and_nothing_once_it_has_ended() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    let body = json!({ "name": "nightly report", "role": "viewer", "expires_at": "2026-09-22T14:15:23Z" });
    let made = owner.post("/api-keys", &body).await.json();
    let key = made["api_key"].as_str().unwrap();
    assert!(key.starts_with("qt_api_") && key.len() == 50, "{key}");
    let kept = world
        .database
        .lines("SELECT api_keys::text FROM api_keys UNION ALL SELECT admin_audit::text FROM admin_audit")
        .await;
    assert!(!kept.join("\n").contains(key) && !owner.get("/api-keys").await.json().to_string().contains(key));

    let script = world.nobody().with("authorization", &format!("Bearer {key}"));
    assert_eq!(script.get("/session").await.json()["name"], "nightly report");
    assert_eq!(script.get("/users").await.word(), "403 forbidden");
    let listed = owner.get("/api-keys").await.json();
    assert_eq!(listed["items"][1]["last_used_at"], "2026-09-21T14:15:23Z");
    world.pass(86_400);
    assert_eq!(script.get("/session").await.word(), "401 unauthorized", "it has ended");

    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    let changed = owner.patch(&path, &json!(1), &json!({ "role": "owner", "expires_at": null })).await.json();
    assert_eq!((&changed["role"], &changed["expires_at"]), (&json!("owner"), &json!(null)));
    assert_eq!(script.get("/users").await.status, 200);
    assert_eq!(owner.delete(&path, &json!(2)).await.status, 204);
    assert_eq!(script.get("/session").await.word(), "401 unauthorized", "it is gone");
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_named() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    for (body, wrong) in [
        (json!({ "role": "viewer" }), vec!["/name"]),
        (json!({ "name": "", "role": "x", "expires_at": "soon" }), vec!["/name", "/role", "/expires_at"]),
        (json!({ "name": "a", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z" }), vec!["/expires_at"]),
    ] {
        let refused = owner.post("/api-keys", &body).await;
        assert_eq!(
            (refused.status, pointers(&refused)),
            (422, wrong.into_iter().map(str::to_owned).collect())
        );
    }
}
