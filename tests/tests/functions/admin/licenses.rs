//! Licenses over HTTP: made, changed, searched, suspended, revealed, rotated.

use edge::testing::TestMachine;
use protocol::LicenseKey;
use protocol::admin::Role;
use serde_json::{Value, json};

use super::pointers;
use crate::World;

async fn profile(world: &World) -> String {
    world.database.value("SELECT id FROM profiles ORDER BY id LIMIT 1").await
}

async fn body(world: &World) -> Value {
    json!({ "product": "acme-render", "customer": "Example Ltd", "profile_id": profile(world).await, "max_installs": 2,
            "starts_at": "2026-09-01T00:00:00Z", "expires_at": null, "entitlements": { "edition": "pro" },
            "lease_max_seconds": null, "metadata": { "order": 4711 } })
}

#[tokio::test]
async fn a_license_is_made_shown_changed_and_its_key_is_told_when_it_is_asked_for() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let made = operator.post("/licenses", &body(&world).await).await;
    assert_eq!((made.status, made.headers["etag"].to_str().unwrap()), (201, "\"1\""));
    let mut made = made.json();
    let key = made.as_object_mut().unwrap().remove("license_key").unwrap();
    let path = format!("/licenses/{}", made["id"].as_str().unwrap());
    assert_eq!(operator.get(&path).await.json(), made);
    assert_eq!((&made["status"], &made["metadata"]), (&json!("active"), &json!({ "order": 4711 })));

    let changed = operator
        .patch(&path, &json!(1), &json!({ "max_installs": 7, "expires_at": "2027-01-01T00:00:00Z" }))
        .await
        .json();
    assert_eq!(
        (&changed["max_installs"], &changed["expires_at"]),
        (&json!(7), &json!("2027-01-01T00:00:00Z"))
    );
    assert_eq!((&changed["customer"], &changed["version"]), (&made["customer"], &json!(2)));
    assert_eq!(operator.patch(&path, &json!(1), &json!({})).await.word(), "412 precondition_failed");
    let refused = operator.patch(&path, &json!(2), &json!({ "product": "other" })).await;
    assert_eq!(pointers(&refused), ["/product"], "fingerprints are bound to it");

    let revealed = operator.post(&format!("{path}/reveal-key"), &json!({})).await;
    assert_eq!(revealed.json(), json!({ "license_key": key }));
    let log = operator.get("/audit?action=license.reveal_key").await.json();
    assert_eq!(log["items"][0]["resource_id"], made["id"]);
    let kept = world.database.lines("SELECT admin_audit::text FROM admin_audit").await.join("\n");
    assert!(!kept.contains(key.as_str().unwrap()));
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_license_is_named_at_once_and_nothing_is_made() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let wrong = json!({ "product": "Acme!", "customer": "", "profile_id": "x", "max_installs": -1, "starts_at": 5,
                        "expires_at": "soon", "entitlements": [], "lease_max_seconds": -1, "metadata": "{}" });
    let refused = operator.post("/licenses", &wrong).await;
    let all = [
        "/product",
        "/customer",
        "/profile_id",
        "/max_installs",
        "/starts_at",
        "/expires_at",
        "/entitlements",
        "/lease_max_seconds",
        "/metadata",
    ];
    assert_eq!(
        (refused.word().as_str(), pointers(&refused)),
        ("422 invalid", all.map(str::to_owned).to_vec())
    );
    let mut over = body(&world).await;
    over["expires_at"] = json!("2026-08-01T00:00:00Z");
    assert_eq!(pointers(&operator.post("/licenses", &over).await), ["/expires_at"]);
    let mut unknown = body(&world).await;
    unknown["profile_id"] = json!(world.license.id);
    assert_eq!(pointers(&operator.post("/licenses", &unknown).await), ["/profile_id"]);
    assert_eq!(world.database.value("SELECT count(*) FROM licenses").await, "1", "the test's own");
}

#[tokio::test]
async fn each_action_reaches_the_next_beat_and_done_twice_is_done() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let mut agent = world.agent(1).await;
    let path = format!("/licenses/{}", world.license.id);
    for (action, status, reason, version) in [
        ("suspend", "suspended", "license_suspended", 2),
        ("suspend", "suspended", "license_suspended", 2),
        ("resume", "active", "ok", 3),
        ("revoke", "revoked", "license_revoked", 4),
        ("revoke", "revoked", "license_revoked", 4),
    ] {
        let done = operator.post(&format!("{path}/{action}"), &json!({})).await;
        assert_eq!((done.status, &done.json()["status"]), (200, &json!(status)), "{action}");
        assert_eq!(done.json()["version"], version, "{action}");
        assert_eq!(agent.beat(&world.server).await.claims()["reason"], reason, "{action}");
    }
    for refused in ["suspend", "resume", "rotate-key"] {
        assert_eq!(operator.post(&format!("{path}/{refused}"), &json!({})).await.word(), "409 conflict");
    }
    assert_eq!(operator.patch(&path, &json!(4), &json!({ "customer": "x" })).await.word(), "409 conflict");
    let stale = operator.clone().with("if-match", "\"1\"");
    assert_eq!(stale.post(&format!("{path}/revoke"), &json!({})).await.word(), "412 precondition_failed");
    let log = operator.get("/audit?resource=license").await.json();
    let actions: Vec<_> = log["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(
        actions,
        ["license.revoke", "license.resume", "license.suspend"],
        "what changed nothing isn't there"
    );
    assert_eq!(
        (&log["items"][0]["before"]["status"], &log["items"][0]["after"]["status"]),
        (&json!("active"), &json!("revoked"))
    );
}

#[tokio::test]
async fn a_rotated_key_activates_and_the_one_before_does_not_while_installs_beat_on() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    let mut agent = world.agent(1).await;
    let path = format!("/licenses/{}/rotate-key", world.license.id);
    let rotated = operator.post(&path, &json!({})).await.json();
    let again = operator.post(&path, &json!({})).await.json();
    assert_ne!(rotated["license_key"], again["license_key"], "each time another");
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    let refused = TestMachine::new(2).activate(&world.server, &world.license.key).await.err().unwrap();
    assert_eq!(refused.word(), "403 license_refused");
    let key = LicenseKey::parse(again["license_key"].as_str().unwrap()).unwrap();
    assert!(TestMachine::new(2).activate(&world.server, &key).await.is_ok());
}

#[tokio::test]
async fn licenses_are_listed_by_what_they_are_and_found_by_words() {
    let world = World::new().await;
    let operator = world.script(Role::Operator).await;
    for (customer, product) in
        [("M\u{fc}ller & Sons", "acme-render"), ("Miller Inc", "acme-cad"), ("Zed", "acme-cad")]
    {
        world.pass(1);
        let mut body = body(&world).await;
        (body["customer"], body["product"]) = (json!(customer), json!(product));
        assert_eq!(operator.post("/licenses", &body).await.status, 201);
    }
    let customers = async |query: &str| {
        let listed = operator.get(&format!("/licenses?{query}")).await.json();
        let of = |license: &Value| license["customer"].as_str().unwrap().to_owned();
        listed["items"].as_array().unwrap_or_else(|| panic!("{listed}")).iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(customers("").await, ["Example", "M\u{fc}ller & Sons", "Miller Inc", "Zed"]);
    assert_eq!(customers("product=acme-cad").await, ["Miller Inc", "Zed"]);
    assert_eq!(customers("customer=Zed&status=active").await, ["Zed"]);
    assert_eq!(
        customers("q=m%C3%BCll").await,
        ["M\u{fc}ller & Sons"],
        "the beginning of a word, in any case"
    );
    assert_eq!(customers("q=mil+cad").await, ["Miller Inc"], "all words");
    assert_eq!(customers("q=ller").await, [""; 0]);
    assert_eq!(customers("status=revoked").await, [""; 0]);
    let refused = operator.get("/licenses?q=&status=x&product=!&profile_id=1").await;
    assert_eq!(pointers(&refused), ["/product", "/status", "/profile_id", "/q"]);
}
