//! Offline leases over HTTP: listed, revoked, and the air gap's requests answered.

use protocol::admin::Role;
use protocol::offline::OfflineRequest;
use serde_json::{Value, json};

use super::pointers;
use crate::World;
use crate::lease_offline::request;

const WEEK: i64 = 604_800;

#[tokio::test]
async fn leases_are_listed_by_whose_they_are_and_what_has_become_of_them_and_one_is_revoked() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let (mut one, mut two) = (world.agent(1).await, world.agent(2).await);
    let first = one.take_lease(&world.server, WEEK).await.id;
    world.pass(10);
    let second = two.take_lease(&world.server, WEEK).await.id;
    let listed = async |query: &str| {
        let page = operator.get(&format!("/leases?{query}")).await.json();
        let id = |lease: &Value| lease["id"].as_str().unwrap().to_owned();
        page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, [first.to_string(), second.to_string()]);
    assert_eq!(listed(&format!("install_id={}", two.install)).await, [second.to_string()]);
    assert_eq!(listed(&format!("license_id={}&status=live", world.license.id)).await.len(), 2);

    let path = format!("/leases/{first}/revoke");
    for _ in 0..2 {
        let revoked = operator.post(&path, &json!({})).await;
        assert_eq!(
            (revoked.status, &revoked.json()["status"]),
            (200, &json!("revoked")),
            "done twice is done"
        );
        assert_eq!(revoked.json()["in_force"], true, "a machine that doesn't call keeps it");
    }
    assert_eq!(listed("status=revoked").await, [first.to_string()]);
    assert_eq!(one.beat(&world.server).await.word(), "200 authorized");
    assert_eq!(one.ask_lease(&world.server, WEEK).await.json()["reason"], "lease_revoked");
    two.return_lease(&world.server, second).await;
    assert_eq!(operator.post(&format!("/leases/{second}/revoke"), &json!({})).await.word(), "409 conflict");
    let log = operator.get("/audit?resource=lease").await.json();
    assert_eq!(log["items"].as_array().unwrap().len(), 1);
    assert_eq!(log["items"][0]["before"]["status"], "live");
    let refused = operator.get("/leases?status=x&install_id=1&license_id=2").await;
    assert_eq!(pointers(&refused), ["/license_id", "/install_id", "/status"]);
}

#[tokio::test]
async fn a_request_file_is_answered_once_and_the_log_says_by_whom() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let asked = OfflineRequest { iat: world.server.edge.now(), ..request(1, &world.license.key) };
    let file: Value = serde_json::from_str(&asked.sign(&world.license.key)).unwrap();
    let answered = operator.post("/leases/offline-requests", &file).await;
    assert_eq!(answered.status, 200, "{}", answered.word());
    let answered = answered.json();
    assert_eq!(answered["reply"].as_str().unwrap().split('.').count(), 5, "a compact JWE");
    let log = operator.get("/audit?action=lease.answer").await.json();
    assert_eq!(
        (&log["items"][0]["resource_id"], &log["items"][0]["actor"]),
        (&answered["lease_id"], &json!("api_key"))
    );
    assert!(!log.to_string().contains(answered["reply"].as_str().unwrap()));
    assert_eq!(operator.post("/leases/offline-requests", &file).await.word(), "409 nonce_replayed");
    let mut forged = file.clone();
    forged["duration_seconds"] = json!(1);
    assert_eq!(operator.post("/leases/offline-requests", &forged).await.word(), "403 license_refused");
    assert_eq!(operator.post("/leases/offline-requests", &json!({})).await.word(), "422 invalid");
}
