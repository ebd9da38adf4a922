//! Keyset, lease and offline reply, opened by implementations of JOSE that aren't ours: npm's `jose`, Python's `joserfc`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use jose_jwt::{Jwk, base64url};
use serde_json::{Value, json};
use store::testing::{ISSUER, START};

use crate::World;
use crate::lease_offline::{recipient, request};

const WEEK: i64 = 604_800;

/// What a variable names that `cargo xtask test` sets.
fn named(variable: &str) -> std::ffi::OsString {
    std::env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} is not set: run this by `cargo xtask test`, which installs what it names")
    })
}

/// Has a script answer one JSON object by another.
fn answered(command: &mut Command, made: &Value) -> Value {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(made.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the script failed, see its standard error");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A lease taken online, and a reply to an offline request, with all that opens them.
async fn made(world: &World) -> Value {
    let mut agent = world.agent(1).await;
    let lease = agent.take_lease(&world.server, WEEK).await;
    let key = &world.license.key;
    let file = request(2, key).sign(key);
    let offline = admin::offline::answer(&world.server.edge, &store::Actor::command_line(), file.as_bytes())
        .await
        .unwrap();
    let root = world.database.database().find_root().await.unwrap().unwrap();
    let keyset = String::from_utf8(world.server.get("/v1/keyset").await.body).unwrap();
    json!({
        "root": Jwk::from(root),
        "keyset": keyset,
        "secret": agent.secret,
        "lease_id": lease.id,
        "artifact": lease.artifact,
        "reply": offline.reply,
        "recipient": {
            "kty": "OKP",
            "crv": "X25519",
            "x": base64url::encode(recipient().public().as_bytes()),
            "d": base64url::encode(&[3; 32]),
        },
    })
}

/// Holds what another implementation has read to what was made.
fn check(made: &Value, read: &Value) {
    assert_eq!(
        (&read["keyset"]["iss"], read["keyset"]["keys"].as_array().unwrap().len()),
        (&json!(ISSUER), 4)
    );
    let header = |id: &Value| json!({ "alg": "dir", "enc": "A256GCM", "typ": "qt-lease+jwe", "kid": id });
    assert_eq!(read["lease"]["header"], header(&made["lease_id"]));
    let claims = &read["lease"]["claims"];
    assert_eq!(
        (&claims["jti"], &claims["exp"], &claims["ctr"]),
        (&made["lease_id"], &json!(START + WEEK), &json!(1))
    );
    let reply = &read["reply"];
    let mut members: Vec<_> = reply["header"].as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["alg", "enc", "epk", "typ"]);
    assert_eq!(reply["header"]["typ"], "qt-offline-reply+jwe");
    let content = &reply["content"];
    assert_eq!((&read["token"]["nonce"], &read["token"]["ctr"]), (&content["request"], &json!(0)));
    assert_eq!(read["token"]["sub"], content["install_id"]);
    let offline = &read["offline_lease"];
    assert_eq!(offline["header"], header(&content["lease_id"]));
    assert_eq!((&offline["claims"]["sub"], &offline["claims"]["ctr"]), (&content["install_id"], &json!(0)));
    assert_eq!(offline["claims"]["ladder"], read["token"]["ladder"]);
}

#[tokio::test]
async fn npms_jose_opens_keyset_lease_and_offline_reply() {
    let world = World::new().await;
    let made = made(&world).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/jose/open.mjs");
    check(&made, &answered(Command::new("node").arg(script).env("QT_JOSE", named("QT_JOSE")), &made));
}

#[tokio::test]
async fn pythons_joserfc_opens_keyset_lease_and_offline_reply() {
    let world = World::new().await;
    let made = made(&world).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/jose/open.py");
    check(&made, &answered(Command::new(named("QT_PYTHON")).arg(script), &made));
}
