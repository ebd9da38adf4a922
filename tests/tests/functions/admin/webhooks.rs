//! Webhooks: who is told of what, in the transaction of the change.

use std::sync::Arc;

use ::admin::webhook::{Sender, deliver_due};
use edge::testing::{Answer, Receiver, TestEdge, TestMachine};
use http::Method;
use protocol::admin::Role;
use protocol::proof::Operation;
use serde_json::{Value, json};
use store::testing::TestDatabase;
use tokio::sync::watch;

use super::{Client, pointers};
use crate::{World, server_with};

pub(super) const ALLOW: [(&str, &str); 1] = [("QT_WEBHOOK_PRIVATE_TARGETS", "allow")];

/// Delivers what is due, once.
pub(super) async fn deliver(server: &TestEdge) {
    let sender = Arc::new(Sender::new(true));
    deliver_due(server.edge.clone(), sender, watch::channel(false).1).await.unwrap();
}

impl World {
    /// One whose webhooks may be on this machine.
    pub(super) async fn with_webhooks(knobs: &str) -> Self {
        let database = TestDatabase::new().await;
        let license = database.license(1, knobs, 5).await;
        let server = server_with(&database, 1, &ALLOW).await;
        Self { database, server, function: Arc::default(), license }
    }
}

/// Has a receiver told of these events.
pub(super) async fn listen(owner: &Client, receiver: &Receiver, events: &[&str]) -> Value {
    let made = owner.post("/webhooks", &json!({ "url": receiver.url(), "events": events })).await;
    assert_eq!(made.status, 201, "{}", made.word());
    made.json()
}

/// A webhook's deliveries, the newest first.
pub(super) async fn deliveries(owner: &Client, webhook: &Value, query: &str) -> Vec<Value> {
    let path = format!("/webhooks/{}/deliveries?{query}", webhook["id"].as_str().unwrap());
    let listed = owner.get(&path).await;
    assert_eq!(listed.status, 200, "{}", listed.word());
    listed.json()["items"].as_array().unwrap().clone()
}

pub(super) async fn act(client: &Client, path: &str) -> Answer {
    client.post(path, &Value::Null).await
}

#[tokio::test]
async fn a_webhook_is_made_with_its_secret_told_once_listed_and_removed() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    let wanted = json!({ "url": "https://hooks.example.com/qt?a=b", "events": ["license.revoked", "license.created"] });
    let once = owner.clone().with("idempotency-key", "one");
    let made = once.post("/webhooks", &wanted).await;
    assert_eq!((made.status, &made.headers["etag"]), (201, &"\"1\"".parse().unwrap()));
    let made = made.json();
    assert_eq!(once.post("/webhooks", &wanted).await.json(), made, "made once");
    let secret = made["secret"].as_str().unwrap();
    let bytes = secret.strip_prefix("whsec_").unwrap();
    assert_eq!(bytes.len(), 44, "32 bytes in base64");

    let listed = owner.get("/webhooks").await.json();
    let row = &listed["items"][0];
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&row["url"], &row["events"], &row["disabled_at"]),
        (&wanted["url"], &json!(["license.created", "license.revoked"]), &json!(null))
    );
    let kept = "SELECT webhooks::text FROM webhooks UNION ALL SELECT admin_audit::text FROM admin_audit
                UNION ALL SELECT webhook_deliveries::text FROM webhook_deliveries";
    let kept = world.database.lines(kept).await.join("\n");
    let audited = owner.get("/audit?resource=webhook").await.json();
    assert_eq!(audited["items"][0]["action"], "webhook.create");
    assert_eq!(audited["items"][0]["after"]["url"], wanted["url"]);
    for text in [kept, audited.to_string(), listed.to_string()] {
        assert!(!text.contains(bytes) && text.contains("hooks.example.com"), "{text}");
    }

    let path = format!("/webhooks/{}", made["id"].as_str().unwrap());
    assert_eq!(owner.call(Method::DELETE, &path, &Value::Null).await.word(), "428 precondition_required");
    assert_eq!(owner.delete(&path, &json!(2)).await.word(), "412 precondition_failed");
    assert_eq!(act(&owner, &format!("{path}/ping")).await.status, 202);
    assert_eq!(owner.delete(&path, &json!(1)).await.status, 204);
    assert_eq!(owner.delete(&path, &json!(1)).await.word(), "404 not_found");
    assert_eq!(owner.get(&format!("{path}/deliveries")).await.word(), "404 not_found");
    assert_eq!(world.database.value("SELECT count(*) FROM webhook_deliveries").await, "0");
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_webhook_is_named() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    for (body, wrong) in [
        (json!({}), vec!["/url", "/events"]),
        (json!({ "url": 1, "events": "*" }), vec!["/url", "/events"]),
        (json!({ "url": "", "events": [] }), vec!["/url", "/events"]),
        (
            json!({ "url": "https://a.example", "events": ["license.suspended", "license.eaten", 1] }),
            vec!["/events/1", "/events/2"],
        ),
        (json!({ "url": "https://a.example", "events": ["webhook.ping"] }), vec!["/events/0"]),
        (json!({ "url": "http://a.example", "events": ["*"] }), vec!["/url"]),
        (json!({ "url": "https://127.0.0.1/", "events": ["*"] }), vec!["/url"]),
        (json!({ "url": "https://u:geheim@a.example/", "events": ["*"] }), vec!["/url"]),
    ] {
        let refused = owner.post("/webhooks", &body).await;
        assert_eq!(
            (refused.status, pointers(&refused)),
            (422, wrong.iter().map(ToString::to_string).collect())
        );
        assert!(!refused.json().to_string().contains("geheim"));
    }
    assert_eq!(world.database.value("SELECT count(*) FROM webhooks").await, "0");
    let made = owner.post("/webhooks", &json!({ "url": "https://a.example", "events": ["*"] })).await.json();
    let path = format!("/webhooks/{}/deliveries", made["id"].as_str().unwrap());
    assert_eq!(pointers(&owner.get(&format!("{path}?status=gone&limit=0")).await), ["/status", "/limit"]);
    let unknown = "01920000-0000-7000-8000-000000000000";
    assert_eq!(act(&owner, &format!("{path}/{unknown}/resend")).await.word(), "404 not_found");
    assert_eq!(act(&owner, &format!("/webhooks/{unknown}/ping")).await.word(), "404 not_found");
}

#[tokio::test]
async fn what_an_operator_does_is_told_once_and_what_is_refused_is_not() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    let agent = world.agent(1).await;
    let webhook = listen(&owner, &receiver, &["*"]).await;
    let path = format!("/installs/{}", agent.install);
    let stale = owner.clone().with("if-match", "\"9\"");
    assert_eq!(act(&stale, &format!("{path}/suspend")).await.word(), "412 precondition_failed");
    assert_eq!(deliveries(&owner, &webhook, "").await, [Value::Null; 0]);

    assert_eq!(act(&owner, &format!("{path}/suspend")).await.status, 200);
    assert_eq!(act(&owner, &format!("{path}/suspend")).await.status, 200, "done twice is done");
    let queued = deliveries(&owner, &webhook, "status=pending").await;
    assert_eq!((queued.len(), &queued[0]["attempts"]), (1, &json!(0)));
    deliver(&world.server).await;
    deliver(&world.server).await;

    let [told] = &receiver.received()[..] else { panic!("{:?}", receiver.events()) };
    assert_eq!(told.header("webhook-id"), queued[0]["id"].as_str().unwrap());
    assert_eq!(told.header("webhook-timestamp"), world.server.edge.now().to_string());
    assert!(told.header("webhook-signature").starts_with("v1,"));
    assert_eq!((&*told.header("content-type"), &*told.path), ("application/json", "/hook"));
    let expected = json!({
        "type": "install.state_changed", "timestamp": "2026-09-21T14:15:23Z",
        "data": {
            "install_id": agent.install, "license_id": agent.license,
            "from": { "state": "authorized", "rule": 14, "reason": "ok", "status": "active" },
            "to": { "state": "suspended", "rule": 4, "reason": "install_suspended", "status": "suspended" },
        },
    });
    assert_eq!(told.json(), expected);
    let delivered = &deliveries(&owner, &webhook, "status=delivered").await[0];
    assert_eq!(delivered["payload"], expected);
    assert_eq!(
        (
            &delivered["attempts"],
            &delivered["status_code"],
            &delivered["error"],
            &delivered["next_attempt_at"]
        ),
        (&json!(1), &json!(204), &json!(null), &json!(null))
    );
}

#[tokio::test]
async fn each_change_of_a_license_is_told_to_who_listens_to_it_and_to_nobody_else() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let (all, some, other) = (Receiver::open().await, Receiver::open().await, Receiver::open().await);
    listen(&owner, &all, &["*"]).await;
    listen(&owner, &some, &["license.ended", "license.revoked"]).await;
    listen(&owner, &other, &["signing_key.tainted"]).await;
    let profile = world.database.value("SELECT id FROM profiles").await;
    let terms = json!({ "product": "acme-render", "customer": "Example", "profile_id": profile, "max_installs": 1,
                        "expires_at": "2026-09-21T15:00:00Z" });
    let made = owner.post("/licenses", &terms).await.json();
    let path = format!("/licenses/{}", made["id"].as_str().unwrap());
    deliver(&world.server).await;
    assert_eq!(owner.patch(&path, &json!(1), &json!({ "max_installs": 2 })).await.status, 200);
    deliver(&world.server).await;
    act(&owner, &format!("{path}/suspend")).await;
    deliver(&world.server).await;
    act(&owner, &format!("{path}/resume")).await;
    deliver(&world.server).await;
    world.server.edge.store.sweep().await.unwrap();
    deliver(&world.server).await;
    assert_eq!(all.received().len(), 4, "it hasn't ended");
    world.pass(3_600);
    for _ in 0..2 {
        world.server.edge.store.sweep().await.unwrap();
        deliver(&world.server).await;
    }
    act(&owner, &format!("{path}/revoke")).await;
    deliver(&world.server).await;
    let names = ["created", "changed", "suspended", "resumed", "ended", "revoked"];
    assert_eq!(all.events(), names.map(|name| format!("license.{name}")));
    assert_eq!(some.events(), ["license.ended", "license.revoked"]);
    assert_eq!(other.events(), [""; 0]);
    let ended = some.received()[0].json();
    assert_eq!(ended["data"]["license"], all.received()[4].json()["data"]["license"]);
    assert_eq!(
        (&ended["data"]["license"]["id"], &ended["data"]["license"]["max_installs"]),
        (&made["id"], &json!(2))
    );
    let messages: Vec<String> = all.received().iter().map(|told| told.body.clone()).collect();
    let key = made["license_key"].as_str().unwrap();
    assert!(!messages.join("\n").contains(key), "a key is never told");
}

#[tokio::test]
async fn an_end_that_is_moved_is_told_again_and_one_that_lies_behind_at_once() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    listen(&owner, &receiver, &["license.ended"]).await;
    let path = format!("/licenses/{}", world.license.id);
    for (version, end, told) in
        [(1, "2026-09-21T14:00:00Z", 1), (2, "2026-09-21T14:30:00Z", 1), (3, "2026-09-21T14:10:00Z", 2)]
    {
        let changed = owner.patch(&path, &json!(version), &json!({ "expires_at": end })).await;
        assert_eq!(changed.status, 200, "{}", changed.word());
        world.server.edge.store.sweep().await.unwrap();
        deliver(&world.server).await;
        assert_eq!(receiver.received().len(), told, "{end}");
    }
}

#[tokio::test]
async fn a_state_is_told_when_a_beat_or_time_changes_it_and_a_beat_that_changes_nothing_tells_nothing() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    listen(&owner, &receiver, &["install.state_changed"]).await;
    let mut agent = world.agent(1).await;
    for _ in 0..3 {
        world.pass(300);
        assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    }
    deliver(&world.server).await;
    let changes = || {
        let change = |told: &edge::testing::Received| {
            let data = told.json()["data"].clone();
            (data["from"]["state"].clone(), data["to"]["state"].clone(), data["to"]["reason"].clone())
        };
        receiver.received().iter().map(change).collect::<Vec<_>>()
    };
    assert_eq!(changes(), [(json!(null), json!("authorized"), json!("ok"))], "it is new, and beats");
    world.pass(3_700);
    for _ in 0..2 {
        world.server.edge.store.sweep().await.unwrap();
        deliver(&world.server).await;
    }
    assert_eq!(changes()[1..], [(json!("authorized"), json!("grace"), json!("out_of_contact"))]);
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    deliver(&world.server).await;
    assert_eq!(changes()[2..], [(json!("grace"), json!("authorized"), json!("ok"))]);
    assert_eq!(agent.ask(&world.server, "/v1/deactivate", &Operation::Deactivate).await.status, 204);
    deliver(&world.server).await;
    assert_eq!(receiver.received()[3].json()["data"]["to"]["status"], "deactivated");
    assert_eq!(receiver.received().len(), 4);
}

#[tokio::test]
async fn a_copy_is_told_of_once() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    let mut agent = world.agent(1).await;
    agent.beat(&world.server).await;
    let mut copy = agent.clone();
    listen(&owner, &receiver, &["install.clone_suspected"]).await;
    agent.beat(&world.server).await;
    for _ in 0..2 {
        world.pass(60);
        copy.beat(&world.server).await;
        agent.beat(&world.server).await;
    }
    deliver(&world.server).await;
    let [told] = &receiver.received()[..] else { panic!("{:?}", receiver.events()) };
    let data = json!({ "install_id": agent.install, "license_id": agent.license });
    assert_eq!((&told.event()[..], &told.json()["data"]), ("install.clone_suspected", &data));
}

#[tokio::test]
async fn keys_that_are_moved_on_or_tainted_are_told_of() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    listen(&owner, &receiver, &["signing_key.rotated", "signing_key.tainted"]).await;
    let early = owner.post("/signing-keys/rotate", &json!({ "use": "token" })).await;
    assert_eq!(early.word(), "409 conflict");
    world.pass(86_400);
    let rotated = owner.post("/signing-keys/rotate", &json!({ "use": "token" })).await.json();
    let kid_of = |keys: &Value, status: &str| {
        let mut items = keys["items"].as_array().unwrap().iter();
        let found = items.find(|key| key["status"] == status && key["use"] == "token").unwrap();
        found["kid"].as_str().unwrap().to_owned()
    };
    let active = kid_of(&rotated, "active");
    deliver(&world.server).await;
    let data = json!({ "kid": active, "use": "token", "keyset": 2 });
    assert_eq!(receiver.received()[0].json()["data"], data);
    assert_eq!(act(&owner, &format!("/signing-keys/{active}/taint")).await.status, 200);
    deliver(&world.server).await;
    let told: Vec<Value> = receiver.received().iter().map(edge::testing::Received::json).collect();
    let mut names: Vec<_> = told[1..].iter().map(|told| told["type"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["signing_key.rotated", "signing_key.tainted"], "the next one signs");
    let tainted = told.iter().find(|told| told["type"] == "signing_key.tainted").unwrap();
    assert_eq!(tainted["data"]["kid"], active.as_str());
}

#[tokio::test]
async fn deliveries_are_walked_in_pages_the_newest_first() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    let webhook = listen(&owner, &receiver, &["license.suspended"]).await;
    let path = format!("/webhooks/{}/deliveries", webhook["id"].as_str().unwrap());
    for _ in 0..3 {
        world.pass(1);
        act(&owner, &format!("/licenses/{}/suspend", world.license.id)).await;
        act(&owner, &format!("/licenses/{}/resume", world.license.id)).await;
    }
    let first = owner.get(&format!("{path}?limit=2")).await.json();
    let times = |page: &Value| -> Vec<Value> {
        page["items"].as_array().unwrap().iter().map(|row| row["created_at"].clone()).collect()
    };
    assert_eq!(times(&first), ["2026-09-21T14:15:26Z", "2026-09-21T14:15:25Z"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = owner.get(&format!("{path}?limit=2&cursor={cursor}")).await.json();
    assert_eq!((times(&rest), &rest["next_cursor"]), (vec![json!("2026-09-21T14:15:24Z")], &json!(null)));
}

#[tokio::test]
async fn an_activation_that_is_refused_tells_nothing_and_one_that_is_not_tells_of_a_new_install() {
    let world = World::with_webhooks("{}").await;
    let owner = world.script(Role::Owner).await;
    let receiver = Receiver::open().await;
    let license = format!("/licenses/{}", world.license.id);
    assert_eq!(owner.patch(&license, &json!(1), &json!({ "max_installs": 0 })).await.status, 200);
    listen(&owner, &receiver, &["*"]).await;
    let refused = TestMachine::new(1).activate(&world.server, &world.license.key).await;
    assert_eq!(refused.map(|_| ()).unwrap_err().word(), "409 seats_exhausted");
    deliver(&world.server).await;
    assert_eq!(receiver.events(), [""; 0]);
    assert_eq!(owner.patch(&license, &json!(2), &json!({ "max_installs": 1 })).await.status, 200);
    deliver(&world.server).await;
    world.agent(1).await;
    deliver(&world.server).await;
    assert_eq!(receiver.events(), ["license.changed", "install.state_changed"]);
}
