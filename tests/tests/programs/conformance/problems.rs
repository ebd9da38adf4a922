//! What is refused, and how that is said.

use std::sync::Arc;

use edge::testing::TestMachine;
use protocol::proof::Operation;
use serde_json::{Value, json};

use super::{Front, World, assert_problem, now, shape};

pub(super) async fn a_proof_that_does_not_hold_is_one_answer_whatever_is_wrong(world: Arc<World>) {
    let key = world.site.license("{}", 2).await;
    let (mut agent, other) = (world.agent(&key, 1).await, world.agent(&key, 2).await);
    let (good, body) = crate::heartbeat(&mut agent);
    let swap = |from: &str, to: &str| Some(good.replace(from, to));
    let (install, license) = (agent.install.to_string(), agent.license.to_string());
    let nobody = "0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50";
    let cases = [
        ("no header", None),
        ("another scheme", swap("QT1-HMAC-SHA256", "Bearer")),
        ("no space after a comma", swap(", ", ",")),
        ("upper case", swap(&install, &install.to_uppercase())),
        ("another install", swap(&install, &other.install.to_string())),
        ("an unknown install", swap(&install, nobody)),
        ("another license", swap(&license, nobody)),
        ("another counter", swap("counter=1", "counter=2")),
        ("a leading zero", swap("counter=1", "counter=01")),
        ("a counter beyond 2^53", swap("counter=1", "counter=9007199254740992")),
        ("padding", swap(", proof", "=, proof")),
        ("one more part", Some(format!("{good}, more=1"))),
        ("another body", Some(agent.prove(&Operation::Heartbeat, now(), b"{}"))),
        ("another operation", Some(agent.prove(&Operation::Rekey, now(), body.as_bytes()))),
        ("another time", Some(agent.prove(&Operation::Heartbeat, now() - 3600, body.as_bytes()))),
    ];
    let mut first = None;
    for (why, proof) in cases {
        let answer = world.post("/v1/heartbeat", proof.as_deref(), &body).await;
        assert_problem(&answer, "401 invalid_proof", why);
        assert_eq!(*first.get_or_insert_with(|| shape(&answer)), shape(&answer), "{why}");
    }
    // What follows the proof isn't looked at: neither the media type nor the body.
    let answer = world.bases.heartbeat.call("POST", "/v1/heartbeat", &[], b"{").await;
    assert_problem(&answer, "401 invalid_proof", "before media type and body");
    let answer = world.post("/v1/heartbeat", Some(&good), &body).await;
    assert_eq!(answer.word(), "200 authorized", "the good one still is good");
}

pub(super) async fn a_heartbeat_that_is_wrong_is_refused_for_what_is_wrong(world: Arc<World>) {
    let mut agent = world.lone_agent("{}").await;
    let good: Value = serde_json::from_str(&agent.body(now())).unwrap();
    let text = good.to_string();
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
    let deep = |depth: usize| {
        let nested = format!("{}1{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        text.replacen('{', &format!("{{\"deep\":{nested},"), 1).into_bytes()
    };
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("nothing", b"".to_vec(), "400 malformed", ""),
        ("not JSON", b"{".to_vec(), "400 malformed", ""),
        ("not UTF-8", b"{\"a\": \"\xff\"}".to_vec(), "400 malformed", ""),
        ("two values", format!("{text}{text}").into_bytes(), "400 malformed", ""),
        ("a member twice", text.replacen('{', "{\"agent\":1,", 1).into_bytes(), "400 malformed", ""),
        ("deeper than 32", deep(33), "400 malformed", ""),
        ("another type", b"[]".to_vec(), "422 invalid", ""),
        ("a missing member", without("clock"), "422 invalid", "/clock"),
        ("a number as text", with("/clock/unix", json!("1")), "422 invalid", "/clock/unix"),
        ("a fraction", with("/clock/monotonic_ms", json!(1.5)), "422 invalid", "/clock/monotonic_ms"),
        ("no component", with("/fingerprint", json!({})), "422 invalid", "/fingerprint"),
        (
            "a name that is none",
            with("/fingerprint", json!({ "A/b~": "x" })),
            "422 invalid",
            "/fingerprint/A~1b~0",
        ),
        ("a value that is none", with("/fingerprint/mac", json!("AA==")), "422 invalid", "/fingerprint/mac"),
        ("a long version", with("/agent/version", json!("v".repeat(65))), "422 invalid", "/agent/version"),
        ("a short instance id", with("/instance_id", json!("AAAA")), "422 invalid", "/instance_id"),
        ("a boot id with a space", with("/clock/boot_id", json!("a b")), "422 invalid", "/clock/boot_id"),
    ];
    for (why, body, word, pointer) in cases {
        if world.front == Front::TextOnly && std::str::from_utf8(&body).is_err() {
            continue;
        }
        let proof = agent.prove(&Operation::Heartbeat, now(), &body);
        let answer = world.post("/v1/heartbeat", Some(&proof), body).await;
        assert_problem(&answer, word, why);
        if word.starts_with("422") {
            assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{why}");
            assert!(answer.json()["errors"][0]["detail"].is_string(), "{why}");
        }
    }
    for media_type in [None, Some("text/plain"), Some("application/jose+json"), Some("json")] {
        let proof = agent.prove(&Operation::Heartbeat, now(), text.as_bytes());
        let mut headers = vec![("authorization", proof.as_str())];
        headers.extend(media_type.map(|media_type| ("content-type", media_type)));
        let answer = world.bases.heartbeat.call("POST", "/v1/heartbeat", &headers, text.as_bytes()).await;
        assert_problem(&answer, "415 unsupported_media_type", media_type.unwrap_or("none"));
    }
    // None of them was judged: neither counters nor places of the burst are gone.
    agent.counter = 0;
    for _ in 0..9 {
        assert_eq!(world.beat(&mut agent).await.word(), "200 authorized");
    }
}

pub(super) async fn an_activation_that_is_wrong_is_refused_for_what_is_wrong(world: Arc<World>) {
    let key = world.site.license("{}", 1).await;
    let machine = TestMachine::new(1);
    let mut body = machine.activation(&key, &machine.nonce());
    body["license_key"] = json!("geheim");
    body["nonce"] = json!("AAAA");
    body["name"] = json!("x".repeat(129));
    body["agent"]["platform"] = json!("");
    let answer = world.post("/v1/activate", None, body.to_string()).await;
    assert_problem(&answer, "422 invalid", "whatever the key is");
    let errors = answer.json()["errors"].clone();
    let mut pointers: Vec<_> =
        errors.as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/agent/platform", "/name", "/nonce"]);
    assert!(!String::from_utf8_lossy(&answer.body).contains("geheim"));
    assert_problem(&world.post("/v1/activate", None, "{").await, "400 malformed", "not JSON");
    if world.front == Front::Faithful {
        assert_problem(&world.post("/v1/activate", None, b"\"\xff\"").await, "400 malformed", "not UTF-8");
    }
    let body = machine.activation(&key, &machine.nonce()).to_string();
    let answer = world.bases.auth.call("POST", "/v1/activate", &[], body.as_bytes()).await;
    assert_problem(&answer, "415 unsupported_media_type", "none");
    assert_eq!(world.activate(&machine, &key).await.status, 201, "the seat is still free");
}

pub(super) async fn sizes_are_bounded(world: Arc<World>) {
    let mut agent = world.lone_agent("{}").await;
    let now = now();
    // A body that is as large as may be is read.
    let body = agent.body(now);
    let largest = body.replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(16 * 1024 - body.len() - 7)), 1);
    assert_eq!(largest.len(), 16 * 1024);
    let proof = agent.prove(&Operation::Heartbeat, now, largest.as_bytes());
    assert_eq!(world.post("/v1/heartbeat", Some(&proof), &largest).await.word(), "200 authorized");
    for size in [16 * 1024 + 1, 200_000] {
        for path in ["/v1/heartbeat", "/v1/activate", "/v1/rekey", "/v1/leases"] {
            let answer = world.post(path, None, " ".repeat(size)).await;
            assert_problem(&answer, "413 too_large", path);
        }
    }
    let long = "x".repeat(9 * 1024);
    let answer = world.bases.auth.call("GET", "/v1/keyset", &[("x-long", &long)], b"").await;
    assert!(matches!(answer.status, 413 | 431), "{}", answer.status);
}

pub(super) async fn what_is_not_there_is_said_so(world: Arc<World>) {
    for path in [
        "/v1/heartbeat/",
        "/v1/heartbeats",
        "/v1/leases/x",
        "/v1/nothing",
        "/",
        "/v1/../etc/passwd",
        "/%00%ff",
    ] {
        let answer = world.get(path).await;
        assert_problem(&answer, "404 not_found", path);
    }
    for (path, allowed) in [
        ("/v1/heartbeat", "POST"),
        ("/v1/activate", "POST"),
        ("/v1/rekey", "POST"),
        ("/v1/deactivate", "POST"),
        ("/v1/leases", "POST"),
        ("/v1/leases/0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50/return", "POST"),
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = world.bases.of(path).call(method, path, &[], b"").await;
            assert_problem(&answer, "405 method_not_allowed", path);
            assert_eq!(answer.headers["allow"], allowed, "{path}");
        }
    }
    let answer = world.post("/v1/keyset", None, "{}").await;
    assert_problem(&answer, "405 method_not_allowed", "a POST of what is read");
}

pub(super) async fn every_function_says_that_it_is_up_and_ready(world: Arc<World>) {
    for base in world.bases.all() {
        for path in ["/healthz", "/readyz"] {
            let answer = base.call("GET", path, &[], b"").await;
            assert_eq!(answer.status, 200, "{base:?} {path}");
            assert_eq!(answer.headers["cache-control"], "no-store");
        }
    }
}
