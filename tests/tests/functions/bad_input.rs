//! Bad input gets the right problem document, and changes nothing.

use axum::body::Body;
use edge::testing::{Answer, TestMachine, noise};
use http::Request;
use protocol::proof::{Operation, SCHEME};
use serde_json::{Value, json};

use crate::World;

/// What a test must not have changed.
const EVERYTHING: &str = "SELECT (SELECT string_agg(i::text, ';' ORDER BY id) FROM installs i) || \
                          (SELECT count(*) FROM heartbeats)";

fn assert_problem(answer: &Answer, word: &str, why: &str) {
    assert_eq!(answer.word(), word, "{why}: {}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{why}");
    let body = answer.json();
    for member in ["type", "title", "status", "detail", "code", "request_id", "server_time"] {
        assert!(body.get(member).is_some(), "{why}: {member} is missing");
    }
    assert_eq!(body["request_id"], answer.headers["x-request-id"].to_str().unwrap());
}

#[tokio::test]
async fn a_heartbeat_whose_body_is_wrong_is_refused_after_its_proof_and_changes_nothing() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let good: Value = serde_json::from_str(&agent.body(world.server.edge.now())).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body.to_string().into_bytes()
    };
    let without = |member: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(member);
        body.to_string().into_bytes()
    };
    let text = good.to_string();
    let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("not JSON", b"{".to_vec(), "400 malformed", ""),
        ("not UTF-8", b"\"\xff\"".to_vec(), "400 malformed", ""),
        ("duplicate members", text.replacen('{', "{\"agent\":1,", 1).into_bytes(), "400 malformed", ""),
        (
            "deeper than 32",
            text.replacen('{', &format!("{{\"deep\":{deep},"), 1).into_bytes(),
            "400 malformed",
            "",
        ),
        ("another type", b"[]".to_vec(), "422 invalid", ""),
        ("a member that is missing", without("clock"), "422 invalid", "/clock"),
        ("a number as text", with("/clock/unix", json!("1")), "422 invalid", "/clock/unix"),
        ("a fraction", with("/clock/monotonic_ms", json!(1.5)), "422 invalid", "/clock/monotonic_ms"),
        ("an absurd number", with("/clock/unix", json!(1_u64 << 60)), "422 invalid", "/clock/unix"),
        ("a fingerprint of nothing", with("/fingerprint", json!({})), "422 invalid", "/fingerprint"),
        (
            "a name that is none",
            with("/fingerprint", json!({ "A/b": "x" })),
            "422 invalid",
            "/fingerprint/A~1b",
        ),
        ("a value that is none", with("/fingerprint/mac", json!("AA==")), "422 invalid", "/fingerprint/mac"),
        (
            "a version too long",
            with("/agent/version", json!("v".repeat(65))),
            "422 invalid",
            "/agent/version",
        ),
        ("an empty platform", with("/agent/platform", json!("")), "422 invalid", "/agent/platform"),
        ("an instance id too short", with("/instance_id", json!("AAAA")), "422 invalid", "/instance_id"),
        ("a boot id with a space", with("/clock/boot_id", json!("a b")), "422 invalid", "/clock/boot_id"),
    ];
    let before = world.database.value(EVERYTHING).await;
    for (why, body, word, pointer) in cases {
        let proof = agent.prove(&Operation::Heartbeat, world.server.edge.now(), &body);
        let answer = world.server.post("/v1/heartbeat", Some(&proof), body).await;
        assert_problem(&answer, word, why);
        if word.starts_with("422") {
            assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{why}");
        }
    }
    assert_eq!(world.database.value(EVERYTHING).await, before);
}

#[tokio::test]
async fn media_type_and_size_are_checked() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let body = agent.body(world.server.edge.now());
    for (media_type, status) in [
        (None, 415),
        (Some("text/plain"), 415),
        (Some("application/json; charset=utf-8"), 200),
        (Some("Application/JSON"), 200),
    ] {
        let proof = agent.prove(&Operation::Heartbeat, world.server.edge.now(), body.as_bytes());
        let mut request = Request::post("/v1/heartbeat").header("authorization", proof);
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        let answer = world.server.send(request.body(Body::from(body.clone())).unwrap()).await;
        assert_eq!(answer.status, status, "{media_type:?}");
    }
    let large = vec![b' '; 16 * 1024 + 1];
    assert_problem(
        &world.server.post("/v1/heartbeat", None, large).await,
        "413 too_large",
        "before the proof",
    );
    let headers = Request::post("/v1/heartbeat").header("x-padding", "x".repeat(8 * 1024));
    let answer = world.server.send(headers.body(Body::empty()).unwrap()).await;
    assert_problem(&answer, "413 too_large", "headers");
}

#[tokio::test]
async fn every_proof_that_does_not_hold_gets_one_and_the_same_answer() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let (good, body) = agent.heartbeat(&world.server);
    let other = world.agent(2).await;
    let swap = |from: &str, to: &str| Some(good.replace(from, to));
    let (install, license) = (agent.install.to_string(), agent.license.to_string());
    let cases: Vec<(&str, Option<String>)> = vec![
        ("no header", None),
        ("another scheme", swap("QT1-HMAC-SHA256", "Bearer")),
        ("no space after a comma", swap(", ", ",")),
        ("upper case", swap(&install, &install.to_uppercase())),
        ("another install", swap(&install, &other.install.to_string())),
        ("an unknown install", swap(&install, "0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50")),
        ("another license", swap(&license, "0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50")),
        ("another counter", swap("counter=1", "counter=2")),
        ("counter 0", swap("counter=1", "counter=0")),
        ("a leading zero", swap("counter=1", "counter=01")),
        ("a counter beyond 2^53", swap("counter=1", "counter=9007199254740992")),
        ("something at the end", Some(format!("{good} "))),
        ("another body", Some(agent.prove(&Operation::Heartbeat, world.server.edge.now(), b"{}"))),
        ("another operation", Some(agent.prove(&Operation::Rekey, world.server.edge.now(), body.as_bytes()))),
        (
            "two buckets ago",
            Some(agent.prove(&Operation::Heartbeat, world.server.edge.now() - 600, body.as_bytes())),
        ),
        (
            "the next bucket",
            Some(agent.prove(&Operation::Heartbeat, world.server.edge.now() + 300, body.as_bytes())),
        ),
    ];
    let before = world.database.value(EVERYTHING).await;
    let mut seen: Option<Value> = None;
    for (why, proof) in cases {
        let answer = world.server.post("/v1/heartbeat", proof.as_deref(), body.clone()).await;
        assert_problem(&answer, "401 invalid_proof", why);
        assert_eq!(answer.headers["www-authenticate"], SCHEME, "{why}");
        let mut names: Vec<_> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        let mut shape = answer.json();
        shape["request_id"] = json!(shape["request_id"].as_str().unwrap().len());
        shape["length"] = json!((answer.body.len(), names));
        assert_eq!(*seen.get_or_insert_with(|| shape.clone()), shape, "{why}");
    }
    assert_eq!(world.database.value(EVERYTHING).await, before);
    let answer = world.server.post("/v1/heartbeat", Some(&good), body).await;
    assert_eq!(answer.word(), "200 authorized", "the good one still is good");
}

#[tokio::test]
async fn the_previous_bucket_is_taken_too() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let (proof, body) = agent.heartbeat(&world.server);
    world.pass(300);
    assert_eq!(world.server.post("/v1/heartbeat", Some(&proof), body).await.word(), "200 authorized");
    let (proof, body) = agent.heartbeat(&world.server);
    world.pass(600);
    assert_eq!(world.server.post("/v1/heartbeat", Some(&proof), body).await.word(), "401 invalid_proof");
}

#[tokio::test]
async fn an_activation_whose_body_is_wrong_is_422_whatever_its_key_is() {
    let world = World::new().await;
    let machine = TestMachine::new(1);
    let mut body = machine.activation(&world.license.key, &machine.nonce());
    body["license_key"] = json!("nonsense");
    body["name"] = json!("x".repeat(129));
    body["nonce"] = json!("AAAA");
    let answer = world.server.post("/v1/activate", None, body.to_string()).await;
    assert_problem(&answer, "422 invalid", "two members");
    let errors = answer.json()["errors"].clone();
    let pointers: Vec<_> =
        errors.as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/nonce", "/name"], "every one of them is named");
    assert!(!String::from_utf8_lossy(&answer.body).contains("nonsense"));
}

#[tokio::test]
async fn noise_is_refused_and_never_a_fault_of_the_server() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    for seed in 0..200 {
        let body = noise(seed, usize::try_from(seed).unwrap() * 7);
        let proof = agent.prove(&Operation::Heartbeat, world.server.edge.now(), &body);
        let answer = world.server.post("/v1/heartbeat", Some(&proof), body.clone()).await;
        assert_eq!(answer.status, 400, "{seed}");
        let answer = world.server.post("/v1/activate", None, body).await;
        assert_eq!(answer.status, 400, "{seed}");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_problems_too() {
    let world = World::new().await;
    assert_problem(&world.server.get("/v1/nothing").await, "404 not_found", "a path");
    for no_lease in ["abc", "%00", "%ff"] {
        let answer = world.server.post(&format!("/v1/leases/{no_lease}/return"), None, "").await;
        assert_problem(&answer, "404 not_found", no_lease);
    }
    let answer = world.server.get("/v1/heartbeat").await;
    assert_problem(&answer, "405 method_not_allowed", "a method");
    assert_eq!(answer.headers["allow"], "POST");
    assert_eq!(world.server.get("/healthz").await.status, 200);
    assert_eq!(world.server.get("/readyz").await.status, 200);
    let metrics = String::from_utf8(world.server.get("/metrics").await.body).unwrap();
    assert!(metrics.contains("qubictether_refusals_total{code=\"method_not_allowed\"} 1"), "{metrics}");
}
