//! Events of function URLs, as AWS writes them and as nobody should, straight to the functions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edge::lambda::answer;
use edge::testing::TestAgent;
use serde_json::{Value, json};

use crate::World;

/// An event as AWS writes it.
fn event(method: &str, path: &str) -> Value {
    let text = include_str!("events/function-url.json");
    let mut event: Value = serde_json::from_str(text).unwrap();
    event["rawPath"] = json!(path);
    event["requestContext"]["http"]["path"] = json!(path);
    event["requestContext"]["http"]["method"] = json!(method);
    event
}

/// A heartbeat's event; `agent`'s next.
fn heartbeat(world: &World, agent: &mut TestAgent) -> Value {
    let (proof, body) = agent.heartbeat(&world.server);
    let mut event = event("POST", "/v1/heartbeat");
    event["headers"]["authorization"] = json!(proof);
    event["body"] = json!(body);
    event
}

/// What the functions answer.
async fn send(world: &World, event: &Value) -> Value {
    let answer = answer(world.server.router(), &event.to_string()).await.unwrap();
    serde_json::to_value(answer).unwrap()
}

/// The status, and the problem's code or the decision's state.
fn word(answer: &Value) -> String {
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    let word = body.get("code").or(body.get("state")).and_then(Value::as_str);
    format!("{} {}", answer["statusCode"], word.unwrap_or("-"))
}

#[tokio::test]
async fn an_event_is_answered_as_a_request_is() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let answer = send(&world, &heartbeat(&world, &mut agent)).await;
    assert_eq!(word(&answer), "200 authorized");
    assert_eq!(answer["isBase64Encoded"], false);
    assert_eq!(answer["headers"]["content-type"], "application/json");
    assert_eq!(answer["headers"]["cache-control"], "no-store");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert!(body["token"].as_str().unwrap().contains('.'));

    let keyset = send(&world, &event("GET", "/v1/keyset")).await;
    assert_eq!(
        (&keyset["statusCode"], &keyset["headers"]["content-type"]),
        (&json!(200), &json!("application/jwt"))
    );
    assert_eq!(keyset["headers"]["cache-control"], "public, max-age=60");

    let refused = send(&world, &event("GET", "/v1/heartbeat")).await;
    assert_eq!(word(&refused), "405 method_not_allowed");
    assert_eq!(refused["headers"]["allow"], "POST");
    let head = send(&world, &event("HEAD", "/v1/keyset")).await;
    assert_eq!((&head["statusCode"], head.get("body")), (&json!(200), None));
}

#[tokio::test]
async fn a_body_that_aws_encodes_is_the_same_body() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let mut encoded = heartbeat(&world, &mut agent);
    encoded["body"] = json!(STANDARD.encode(encoded["body"].as_str().unwrap()));
    encoded["isBase64Encoded"] = json!(true);
    assert_eq!(word(&send(&world, &encoded).await), "200 authorized");
    assert_eq!(word(&send(&world, &encoded).await), "409 nonce_replayed");

    // What isn't text in the first place is encoded.
    let body = b"{\"instance_id\": \"\xff\"}";
    let proof = agent.prove(&protocol::proof::Operation::Heartbeat, world.server.edge.now(), body);
    let mut noise = event("POST", "/v1/heartbeat");
    noise["headers"]["authorization"] = json!(proof);
    noise["body"] = json!(STANDARD.encode(body));
    noise["isBase64Encoded"] = json!(true);
    assert_eq!(word(&send(&world, &noise).await), "400 malformed");
}

#[tokio::test]
async fn whatever_a_client_sends_has_an_answer() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    // Each changes a good heartbeat. What its answer has to be.
    let long = "x".repeat(100_000);
    let changes: Vec<(&str, Value, &str)> = vec![
        ("/headers/content-type", Value::Null, "415 unsupported_media_type"),
        ("/headers/content-type", json!("text/plain"), "415 unsupported_media_type"),
        ("/headers/content-type", json!("application/json; charset=utf-8"), "200 authorized"),
        // AWS joins headers that come twice.
        ("/headers/authorization", json!("QT1-HMAC-SHA256 a,QT1-HMAC-SHA256 b"), "401 invalid_proof"),
        ("/headers/authorization", Value::Null, "401 invalid_proof"),
        ("/headers/x-name", json!("über \"<>\\^`{|}"), "200 authorized"),
        ("/headers/x-name", json!("a\r\nb: c"), "200 authorized"),
        ("/headers/a name that is none", json!("b"), "200 authorized"),
        ("/headers/host", json!("not a host:99999999"), "200 authorized"),
        ("/headers/x-forwarded-proto", json!("<?>"), "200 authorized"),
        ("/headers/x-long", json!("x".repeat(8 * 1024)), "413 too_large"),
        ("/headers", Value::Null, "401 invalid_proof"),
        ("/body", json!(long), "413 too_large"),
        ("/body", Value::Null, "401 invalid_proof"),
        ("/cookies", json!(["a=b", "c=\"d\""]), "200 authorized"),
        ("/rawQueryString", json!("a=b&c=%zz&d=<\"é>#"), "200 authorized"),
        ("/rawQueryString", json!(long), "404 not_found"),
        ("/rawPath", json!("/v1/heartbeat/"), "404 not_found"),
        ("/rawPath", json!("//v1/heartbeat"), "404 not_found"),
        ("/rawPath", json!("/v1/../v1/heartbeat"), "404 not_found"),
        ("/rawPath", json!("/v1/heart beat?#<é>\u{0}\"\\"), "404 not_found"),
        ("/rawPath", json!("http://elsewhere.test/v1/heartbeat"), "404 not_found"),
        ("/rawPath", json!("*"), "404 not_found"),
        ("/rawPath", json!(""), "404 not_found"),
        ("/rawPath", json!(format!("/{long}")), "404 not_found"),
        ("/requestContext/http/method", json!("BREW"), "405 method_not_allowed"),
        ("/requestContext/http/sourceIp", json!("2001:db8::1"), "200 authorized"),
        ("/requestContext/http/sourceIp", json!("nobody knows"), "200 authorized"),
        ("/requestContext/authorizer", json!({ "iam": { "accessKey": "AKIA" } }), "200 authorized"),
        ("/requestContext/stage", Value::Null, "200 authorized"),
    ];
    for (pointer, value, expected) in changes {
        let mut event = heartbeat(&world, &mut agent);
        set(&mut event, pointer, value.clone());
        let answer = send(&world, &event).await;
        let shown = value.to_string().chars().take(60).collect::<String>();
        assert_eq!(word(&answer), expected, "{pointer} = {shown}");
        assert!(answer["headers"]["x-request-id"].is_string(), "{pointer} = {shown}");
        world.pass(5);
    }
}

#[tokio::test]
async fn the_stage_of_an_api_is_no_part_of_the_path() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    for (stage, path, expected) in [
        ("prod", "/prod/v1/heartbeat", "200 authorized"),
        ("prod", "/v1/heartbeat", "200 authorized"),
        ("v1", "/v1/v1/heartbeat", "200 authorized"),
        ("pro", "/prod/v1/heartbeat", "404 not_found"),
        ("prod", "/prod", "404 not_found"),
        ("$default", "/$default/v1/heartbeat", "404 not_found"),
    ] {
        let mut event = heartbeat(&world, &mut agent);
        set(&mut event, "/requestContext/stage", json!(stage));
        set(&mut event, "/rawPath", json!(path));
        assert_eq!(word(&send(&world, &event).await), expected, "{stage} {path}");
    }
}

#[tokio::test]
async fn the_source_address_bounds_activations() {
    let world = World::new().await;
    let activate = |address: &str, number: u64| {
        let machine = edge::testing::TestMachine::new(number);
        let mut event = event("POST", "/v1/activate");
        event["body"] = json!(machine.activation(&world.license.key, &machine.nonce()).to_string());
        event["requestContext"]["http"]["sourceIp"] = json!(address);
        event
    };
    send(&world, &activate("192.0.2.1", 1)).await;
    send(&world, &activate("2001:db8:1:2::3", 2)).await;
    send(&world, &activate("2001:db8:1:2::4", 3)).await;
    // One for each address (of the last two it is one network), and one for the key.
    assert_eq!(world.database.value("SELECT count(*) FROM activation_rates").await, "3");
}

#[tokio::test]
async fn what_is_no_request_of_a_function_url_is_an_error_that_repeats_nothing() {
    let world = World::new().await;
    let good = event("POST", "/v1/heartbeat");
    let mut cases = vec![json!({}), json!([]), json!("geheim"), json!({ "source": "aws.events" })];
    for (pointer, value) in [
        ("/rawPath", json!(["geheim"])),
        ("/requestContext", Value::Null),
        ("/requestContext/http", json!("geheim")),
        ("/requestContext/http/method", json!("geheim geheim")),
        ("/headers", json!("geheim")),
        ("/headers/authorization", json!({ "geheim": 1 })),
        ("/body", json!({ "license_key": "geheim" })),
    ] {
        let mut event = good.clone();
        set(&mut event, pointer, value);
        cases.push(event);
    }
    let mut broken = good.clone();
    (broken["body"], broken["isBase64Encoded"]) = (json!("geheim!"), json!(true));
    cases.push(broken);
    for case in cases {
        let error = answer(world.server.router(), &case.to_string()).await.unwrap_err();
        assert!(error.to_string().contains("function URL"), "{error}");
        assert!(!format!("{error:?} {error}").contains("geheim"), "{error:?}");
    }
}

/// Sets a member, which may be new; null takes it away.
fn set(event: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = event.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name);
    } else {
        parent.insert(name.to_owned(), value);
    }
}
