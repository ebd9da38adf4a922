//! What all routes have in common.

use http::Method;
use protocol::admin::Role;
use serde_json::{Value, json};

use super::pointers;
use crate::World;

async fn names(client: &super::Client, query: &str) -> (Vec<String>, Value) {
    let page = client.get(&format!("/api-keys?{query}")).await.json();
    let name = |key: &Value| key["name"].as_str().unwrap().to_owned();
    (page["items"].as_array().unwrap().iter().map(name).collect(), page["next_cursor"].clone())
}

#[tokio::test]
async fn a_list_goes_on_where_a_page_ended_and_rows_that_come_meanwhile_move_nothing() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    for number in 0..4 {
        world.pass(1);
        owner.post("/api-keys", &json!({ "name": format!("key {number}"), "role": "viewer" })).await;
    }
    let (first, cursor) = names(&owner, "limit=2").await;
    assert_eq!(first, ["the test's owner", "key 0"]);
    world.pass(1);
    owner.post("/api-keys", &json!({ "name": "key 4", "role": "viewer" })).await;
    let (second, cursor) = names(&owner, &format!("limit=2&cursor={}", cursor.as_str().unwrap())).await;
    assert_eq!(second, ["key 1", "key 2"]);
    let (third, cursor) = names(&owner, &format!("limit=2&cursor={}", cursor.as_str().unwrap())).await;
    assert_eq!((third, cursor), (vec!["key 3".to_owned(), "key 4".to_owned()], Value::Null));
}

#[tokio::test]
async fn parameters_that_are_unknown_bad_or_there_twice_are_named() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    for (query, wrong) in [
        ("nonsense=1", "/nonsense"),
        ("a~/b=1", "/a~0~1b"),
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=+5", "/limit"),
        ("limit=5&limit=5", "/limit"),
        ("cursor=%F0", "/cursor"),
        ("cursor=AAAA", "/cursor"),
        ("cursor=", "/cursor"),
    ] {
        let refused = owner.get(&format!("/api-keys?{query}")).await;
        assert_eq!(
            (refused.word().as_str(), pointers(&refused)),
            ("422 invalid", vec![wrong.to_owned()]),
            "{query}"
        );
    }
    assert_eq!(owner.get("/session?x=1").await.word(), "422 invalid", "of a route that takes none, too");
    let refused = owner.get("/audit?actor=king&from=yesterday&actor_id=1&limit=x").await;
    assert_eq!(pointers(&refused), ["/actor", "/actor_id", "/from", "/limit"], "all at once");
}

#[tokio::test]
async fn what_has_no_words_is_found_nowhere_and_is_no_error() {
    let world = World::new().await;
    world.agent(1).await;
    let viewer = world.script(Role::Viewer).await;
    for list in ["/licenses", "/installs"] {
        assert_eq!(viewer.get(list).await.json()["items"].as_array().unwrap().len(), 1, "{list}");
        for text in ["%25", "_", "%27%22%5C", "+"] {
            let found = viewer.get(&format!("{list}?q={text}")).await;
            assert_eq!((found.status, &found.json()["items"]), (200, &json!([])), "{list} {text}");
        }
        for text in [String::new(), "%00".to_owned(), "a".repeat(201)] {
            let refused = viewer.get(&format!("{list}?q={text}")).await;
            assert_eq!(pointers(&refused), ["/q"], "{list} {text}");
        }
    }
}

#[tokio::test]
async fn the_document_has_words_as_they_are_written() {
    fn enumerations(value: &Value, all: &mut Vec<Value>) {
        if let Some(words) = value["enum"].as_array() {
            all.extend(words.iter().cloned());
        }
        let parts = value.as_object().into_iter().flat_map(serde_json::Map::values);
        parts.chain(value.as_array().into_iter().flatten()).for_each(|part| enumerations(part, all));
    }
    let world = World::new().await;
    let document = world.nobody().get("/openapi.json").await.json();
    let mut words = Vec::new();
    enumerations(&document, &mut words);
    let is_one = |word: &&Value| {
        let text = word.as_str().unwrap_or_default();
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))
    };
    assert_eq!(words.iter().find(|word| !is_one(word)), None);
    for word in ["license.resumed", "delivered", "tls_failed", "fingerprint_drift", "command_line"] {
        assert!(words.contains(&json!(word)), "{word}");
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_told_which_it_has() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    for (method, path, methods) in [
        (Method::PUT, "/licenses", "GET,HEAD,POST,OPTIONS"),
        (Method::OPTIONS, "/licenses", "GET, POST"),
        (Method::OPTIONS, "/hold", "GET, PUT, DELETE"),
    ] {
        let refused = owner.call(method.clone(), path, &Value::Null).await;
        assert_eq!(refused.word(), "405 method_not_allowed", "{method} {path}");
        assert_eq!(refused.headers["allow"], methods, "{method} {path}");
    }
    assert_eq!(owner.call(Method::HEAD, "/licenses", &Value::Null).await.status, 200);
}

#[tokio::test]
async fn what_was_made_under_a_key_is_answered_again_and_made_once() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    let once = owner.clone().with("idempotency-key", "order 4711");
    let body = json!({ "name": "report", "role": "viewer" });
    let first = once.post("/api-keys", &body).await;
    let again = once.post("/api-keys", &body).await;
    assert_eq!((first.status, again.status, first.json()), (201, 201, again.json()));
    assert_eq!(first.headers["etag"], again.headers["etag"]);
    let another = json!({ "name": "another report", "role": "viewer" });
    assert_eq!(once.post("/api-keys", &another).await.word(), "409 conflict");
    assert_eq!(owner.get("/api-keys").await.json()["items"].as_array().unwrap().len(), 2);
    let kept = world.database.value("SELECT idempotency_keys::text FROM idempotency_keys").await;
    assert!(!kept.contains(first.json()["api_key"].as_str().unwrap()) && !kept.contains("4711"));

    let other = world.script(Role::Owner).await.with("idempotency-key", "order 4711");
    assert_ne!(
        other.post("/api-keys", &body).await.json()["id"],
        first.json()["id"],
        "each caller has his own keys"
    );
    let profile = json!({ "name": "report", "knobs": {} });
    assert_eq!(once.post("/profiles", &profile).await.status, 201, "and each path its own");
    world.pass(86_400);
    assert_ne!(
        once.post("/api-keys", &body).await.json()["id"],
        first.json()["id"],
        "a day later it is forgotten"
    );
    for key in [String::new(), "k".repeat(256)] {
        let refused = owner.clone().with("idempotency-key", &key).post("/api-keys", &body).await;
        assert_eq!(pointers(&refused), ["/Idempotency-Key"]);
    }
}

#[tokio::test]
async fn of_many_at_once_under_one_key_one_makes_it_and_all_are_told() {
    let world = World::new().await;
    let once = world.script(Role::Owner).await.with("idempotency-key", "k");
    let body = json!({ "name": "report", "role": "viewer" });
    let answers = futures_util::future::join_all((0..8).map(|_| once.post("/api-keys", &body))).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.json() == answers[0].json()));
    assert_eq!(world.database.value("SELECT count(*) FROM api_keys").await, "2");
}

#[tokio::test]
async fn what_was_refused_under_a_key_may_be_tried_again() {
    let world = World::new().await;
    let once = world.person(Role::Owner).await.with("idempotency-key", "k");
    let body = |email: &str| json!({ "email": email, "role": "viewer", "password": super::PASSWORD });
    assert_eq!(once.post("/users", &body("owner@example.com")).await.word(), "409 conflict", "taken");
    assert_eq!(once.post("/users", &body("ann@example.com")).await.status, 201);
}

#[tokio::test]
async fn a_change_names_the_version_that_it_is_of() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    let made = owner.post("/api-keys", &json!({ "name": "a", "role": "viewer" })).await.json();
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    let change = json!({ "name": "b" });
    for method in [Method::PATCH, Method::DELETE] {
        assert_eq!(owner.call(method.clone(), &path, &change).await.word(), "428 precondition_required");
        for tag in ["\"2\"", "W/\"1\"", "1", "\"one\"", ""] {
            let stale = owner.clone().with("if-match", tag);
            assert_eq!(
                stale.call(method.clone(), &path, &change).await.word(),
                "412 precondition_failed",
                "{tag}"
            );
        }
    }
    for (tag, version) in [("\"1\"", "\"2\""), ("\"7\", \"2\"", "\"3\""), ("*", "\"4\"")] {
        let changed = owner.clone().with("if-match", tag).call(Method::PATCH, &path, &change).await;
        assert_eq!((changed.status, &changed.headers["etag"]), (200, &version.parse().unwrap()), "{tag}");
    }
}

#[tokio::test]
async fn bodies_are_read_as_agents_bodies_are_up_to_a_mebibyte() {
    let world = World::new().await;
    let owner = world.script(Role::Owner).await;
    let send = async |body: Vec<u8>, media_type: &'static str| {
        let mut request = http::Request::post("/v1/admin/api-keys").header("content-type", media_type);
        for (name, value) in &owner.headers {
            request = request.header(*name, value);
        }
        owner.send(request.body(body.into()).unwrap()).await.word()
    };
    let json = "application/json";
    let padded = |length: usize| {
        format!("{{\"name\":\"a\",\"role\":\"viewer\",\"x\":\"{}\"}}", "x".repeat(length)).into_bytes()
    };
    assert_eq!(send(padded(900_000), json).await, "201 -");
    assert_eq!(send(padded(1024 * 1024), json).await, "413 too_large");
    assert_eq!(send(padded(1), "text/plain").await, "415 unsupported_media_type");
    assert_eq!(send(b"{\"a\":1,\"a\":2}".to_vec(), json).await, "400 malformed");
    assert_eq!(owner.get("/users/nonsense").await.word(), "405 method_not_allowed");
    assert_eq!(owner.patch("/users/nonsense", &json!(1), &json!({})).await.word(), "404 not_found");
    assert_eq!(owner.get("/nothing").await.word(), "404 not_found");
}
