//! The second factor.

use protocol::admin::Role;
use serde_json::{Value, json};

use super::{Client, PASSWORD};
use crate::World;

/// The code of a seed at a time, computed by Python and not by the server.
fn code(seed: &str, now: i64) -> String {
    let script = "import base64, hmac, struct, sys
digest = hmac.new(base64.b32decode(sys.argv[1]), struct.pack('>Q', int(sys.argv[2]) // 30), 'sha1').digest()
at = digest[-1] & 15
print('%06d' % ((struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 10**6), end='')";
    let python = std::env::var("QT_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let said = std::process::Command::new(python).args(["-c", script, seed, &now.to_string()]).output();
    String::from_utf8(said.unwrap().stdout).unwrap()
}

fn now(world: &World) -> i64 {
    world.server.edge.now()
}

/// Enrols and confirms; the seed and the recovery codes.
async fn enrolled(world: &World, person: &Client) -> (String, Vec<Value>) {
    let enrolment =
        person.post("/session/totp", &json!({ "action": "enrol", "password": PASSWORD })).await.json();
    let seed = enrolment["secret"].as_str().unwrap().to_owned();
    let totp = code(&seed, now(world));
    let confirmed = person.post("/session/totp", &json!({ "action": "confirm", "totp": totp })).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.word());
    (seed, confirmed.json()["recovery_codes"].as_array().unwrap().clone())
}

#[tokio::test]
async fn once_confirmed_signing_in_takes_a_code_and_each_code_serves_once() {
    let world = World::new().await;
    let person = world.person(Role::Owner).await;
    let (seed, _) = enrolled(&world, &person).await;
    let with = |totp: Value| json!({ "email": "owner@example.com", "password": PASSWORD, "totp": totp });
    let without = world.sign_in(&json!({ "email": "owner@example.com", "password": PASSWORD })).await;
    assert_eq!(
        (without.word().as_str(), &without.json()["reason"]),
        ("401 unauthorized", &"totp_required".into())
    );
    world.pass(30);
    let right = code(&seed, now(&world));
    assert_eq!(world.sign_in(&with(json!("000000"))).await.word(), "401 unauthorized");
    assert_eq!(world.sign_in(&with(json!(right))).await.status, 201);
    assert_eq!(world.sign_in(&with(json!(right))).await.word(), "401 unauthorized", "it was taken");
    world.pass(60);
    assert_eq!(world.sign_in(&with(json!(right))).await.word(), "401 unauthorized", "and is old now");
    assert_eq!(world.signed_in_with(&with(json!(code(&seed, now(&world))))).await["totp"], true);
}

impl World {
    async fn signed_in_with(&self, credentials: &Value) -> Value {
        self.sign_in(credentials).await.json()
    }
}

#[tokio::test]
async fn a_recovery_code_stands_in_once() {
    let world = World::new().await;
    let person = world.person(Role::Owner).await;
    let (_, recovery) = enrolled(&world, &person).await;
    let with = |totp: &Value| json!({ "email": "owner@example.com", "password": PASSWORD, "totp": totp });
    assert_eq!(recovery.len(), 10);
    assert_eq!(world.sign_in(&with(&recovery[3])).await.status, 201);
    assert_eq!(world.sign_in(&with(&recovery[3])).await.word(), "401 unauthorized");
    let removal = json!({ "action": "remove", "password": PASSWORD, "totp": recovery[4] });
    assert_eq!(person.post("/session/totp", &removal).await.json(), json!({ "totp": false }));
    assert_eq!(
        world.sign_in(&json!({ "email": "owner@example.com", "password": PASSWORD })).await.status,
        201
    );
}

#[tokio::test]
async fn a_stolen_session_changes_no_second_factor_and_an_unconfirmed_one_is_not_asked_for() {
    let world = World::new().await;
    let person = world.person(Role::Owner).await;
    let enrol = |password: &str| json!({ "action": "enrol", "password": password });
    assert_eq!(person.post("/session/totp", &enrol("a guess, and wrong")).await.word(), "422 invalid");
    assert_eq!(
        person.post("/session/totp", &json!({ "action": "confirm", "totp": "000000" })).await.word(),
        "409 conflict"
    );
    assert_eq!(person.post("/session/totp", &enrol(PASSWORD)).await.status, 200);
    world.signed_in("owner@example.com").await;
    let wrong = person.post("/session/totp", &json!({ "action": "confirm", "totp": "000000" })).await;
    assert_eq!(super::pointers(&wrong), ["/totp"]);
    let (_, recovery) = enrolled(&world, &person).await;
    assert_eq!(person.post("/session/totp", &enrol(PASSWORD)).await.word(), "409 conflict");
    for (password, totp) in [("a guess, and wrong", &recovery[0]), (PASSWORD, &json!("000000"))] {
        let removal = json!({ "action": "remove", "password": password, "totp": totp });
        assert_eq!(person.post("/session/totp", &removal).await.word(), "422 invalid");
    }
    let script = world.script(Role::Owner).await;
    assert_eq!(
        script.post("/session/totp", &enrol(PASSWORD)).await.word(),
        "403 forbidden",
        "a key has none"
    );
}

#[tokio::test]
async fn the_seed_lies_sealed_and_recovery_codes_hashed() {
    let world = World::new().await;
    let person = world.person(Role::Owner).await;
    let enrolment =
        person.post("/session/totp", &json!({ "action": "enrol", "password": PASSWORD })).await.json();
    assert!(
        enrolment["otpauth_uri"]
            .as_str()
            .unwrap()
            .starts_with("otpauth://totp/qubictether:owner%40example.com?")
    );
    let (_, recovery) = {
        let seed = enrolment["secret"].as_str().unwrap();
        let totp = code(seed, now(&world));
        let confirmed =
            person.post("/session/totp", &json!({ "action": "confirm", "totp": totp })).await.json();
        (seed.to_owned(), confirmed["recovery_codes"][0].as_str().unwrap().to_owned())
    };
    let kept = world
        .database
        .lines("SELECT users::text FROM users UNION ALL SELECT admin_audit::text FROM admin_audit")
        .await
        .join("\n");
    assert!(!kept.contains(&recovery) && !kept.contains(&recovery.replace('-', "")));
    assert!(!kept.contains(enrolment["secret"].as_str().unwrap()));
    assert_eq!(
        world.database.value("SELECT octet_length(totp_secret) FROM users").await,
        "52",
        "version, nonce, 20 bytes, tag"
    );
}
