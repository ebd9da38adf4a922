//! `POST /v1/activate`.

use std::sync::Arc;

use edge::testing::{Answer, TestAgent, TestMachine};
use jose_jwt::base64url;
use protocol::LicenseKey;
use serde_json::json;
use uuid::Uuid;

use super::{World, assert_problem, now, shape};

pub(super) async fn an_activation_is_answered_with_all_that_an_agent_needs(world: Arc<World>) {
    let key = world.site.license("{}", 2).await;
    let machine = TestMachine::new(1);
    let nonce = machine.nonce();
    let mut body = machine.activation(&key, &nonce);
    body["name"] = json!("build-host-7 ü");
    body["unheard-of"] = json!({ "ignored": true });
    // People write keys in their own ways.
    let printed = body["license_key"].as_str().unwrap().to_lowercase().replace('-', " ").replace('0', "o");
    body["license_key"] = json!(printed);
    let answer = world.post("/v1/activate", None, body.to_string()).await;
    assert_eq!(answer.word(), "201 authorized");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store", "a secret is in it");
    assert!(Uuid::parse_str(answer.headers["x-request-id"].to_str().unwrap()).is_ok());
    let said = answer.json();
    let mut members: Vec<_> = said.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(
        members,
        [
            "counter",
            "install_id",
            "license_id",
            "next_heartbeat_in",
            "secret",
            "server_time",
            "state",
            "token"
        ]
    );
    assert_eq!((&said["counter"], &said["next_heartbeat_in"]), (&json!(0), &json!(300)));
    assert_eq!(base64url::decode(said["secret"].as_str().unwrap()).unwrap().len(), 32);
    assert!((now() - said["server_time"].as_i64().unwrap()).abs() < 60);
    let agent = TestAgent::of(machine, &answer);
    let decision = world.decision(&agent, &answer, (nonce, 0)).await;
    assert_eq!((decision.high, decision.iat), (0, said["server_time"].as_i64().unwrap()));
    assert_eq!(decision.lic, agent.license);
}

pub(super) async fn the_same_machine_again_gets_a_new_secret_in_the_same_place(world: Arc<World>) {
    let key = world.site.license("{}", 1).await;
    let mut old = world.agent(&key, 1).await;
    world.beat(&mut old).await;
    // Two of three components: the same machine by the default weights.
    let machine = TestMachine::with_components([1, 1, 9]);
    let answer = world.activate(&machine, &key).await;
    let mut new = TestAgent::of(machine, &answer);
    assert_eq!((new.install, new.counter), (old.install, 0));
    assert_problem(&world.beat(&mut old).await, "401 invalid_proof", "the old secret is dead");
    let beat = world.beat(&mut new).await;
    assert_eq!((beat.word().as_str(), &beat.claims()["ctr"]), ("200 warned", &json!(1)));
    assert_eq!(beat.claims()["reason"], "fingerprint_drift", "what it was bound to it stays");
}

pub(super) async fn an_activation_whose_answer_was_lost_is_repeated(world: Arc<World>) {
    let key = world.site.license(r#"{"reactivations_per_month": 0}"#, 1).await;
    let machine = TestMachine::new(1);
    let body = machine.activation(&key, &machine.nonce()).to_string();
    let lost = TestAgent::of(machine.clone(), &world.post("/v1/activate", None, &body).await);
    let answer = world.post("/v1/activate", None, &body).await;
    assert_eq!(answer.status, 201, "a retry counts nothing: {}", answer.word());
    let mut agent = TestAgent::of(machine.clone(), &answer);
    assert_eq!(agent.install, lost.install);
    assert!(agent.secret.as_bytes() != lost.secret.as_bytes());
    assert_eq!(world.beat(&mut agent).await.word(), "200 authorized");
    let another = world.activate(&machine, &key).await;
    assert_problem(&another, "409 reactivation_limit", "with a nonce of its own it is a reactivation");
}

pub(super) async fn no_more_installs_than_seats(world: Arc<World>) {
    let key = world.site.license("{}", 2).await;
    let mut racing = tokio::task::JoinSet::new();
    for number in 1..=6 {
        let (world, key) = (world.clone(), key.clone());
        racing.spawn(async move { world.activate(&TestMachine::new(number), &key).await });
    }
    let answers = racing.join_all().await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(409)), (2, 4));
    let refused = answers.iter().find(|answer| answer.status == 409).unwrap();
    assert_problem(refused, "409 seats_exhausted", "one more than there are seats");
}

pub(super) async fn a_key_that_activates_nothing_is_one_refusal(world: Arc<World>) {
    let revoked = world.site.license("{}", 5).await;
    let id = world.agent(&revoked, 1).await.license.to_string();
    world.site.operate(&["license", "revoke", &id]).await;
    let machine = TestMachine::new(2);
    let refused = async |key: &str| -> Answer {
        let mut body = machine.activation(&revoked, &machine.nonce());
        body["license_key"] = json!(key);
        let answer = world.post("/v1/activate", None, body.to_string()).await;
        assert_problem(&answer, "403 license_refused", "a key");
        answer
    };
    let unknown = LicenseKey::generate([0x35; 18]);
    let answers = [
        refused(&revoked.printed()).await,
        refused(&unknown.printed()).await,
        refused("QT1-AAAAAA-AAAAAA-AAAAAA-AAAAAA-AAAAAA").await,
        refused("nonsense").await,
    ];
    for answer in &answers {
        assert_eq!(shape(answer), shape(&answers[0]));
    }
}
