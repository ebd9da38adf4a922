//! Every route of the document × everybody who may or may not call it.

use http::Method;
use protocol::ambient::{OsRandom, array};
use serde_json::{Value, json};

use super::Client;
use crate::World;
use protocol::admin::Role;

/// Who may call a route: whoever has this role or one above it, or what stands there. Said here once more, so that a
/// role that changes in the code changes here too, or is found.
const MAY_CALL: &[(&str, &str, &str)] = &[
    ("get", "/licenses", "viewer"),
    ("post", "/licenses", "operator"),
    ("get", "/licenses/{id}", "viewer"),
    ("patch", "/licenses/{id}", "operator"),
    ("post", "/licenses/{id}/suspend", "operator"),
    ("post", "/licenses/{id}/resume", "operator"),
    ("post", "/licenses/{id}/revoke", "operator"),
    ("post", "/licenses/{id}/reveal-key", "operator"),
    ("post", "/licenses/{id}/rotate-key", "operator"),
    ("get", "/leases", "viewer"),
    ("post", "/leases/{id}/revoke", "operator"),
    ("post", "/leases/offline-requests", "operator"),
    ("get", "/signing-keys", "viewer"),
    ("post", "/signing-keys/rotate", "owner"),
    ("post", "/signing-keys/{kid}/taint", "owner"),
    ("get", "/overview", "viewer"),
    ("get", "/hold", "viewer"),
    ("put", "/hold", "owner"),
    ("delete", "/hold", "owner"),
    ("get", "/heartbeats", "viewer"),
    ("get", "/installs/{id}/heartbeats", "viewer"),
    ("get", "/installs", "viewer"),
    ("get", "/installs/{id}", "viewer"),
    ("post", "/installs/{id}/approve", "operator"),
    ("post", "/installs/{id}/suspend", "operator"),
    ("post", "/installs/{id}/resume", "operator"),
    ("post", "/installs/{id}/revoke", "operator"),
    ("post", "/installs/{id}/reset", "operator"),
    ("post", "/installs/{id}/rebind", "operator"),
    ("post", "/licenses/{id}/installs/approve", "operator"),
    ("post", "/licenses/{id}/installs/suspend", "operator"),
    ("post", "/licenses/{id}/installs/resume", "operator"),
    ("post", "/licenses/{id}/installs/revoke", "operator"),
    ("post", "/licenses/{id}/installs/reset", "operator"),
    ("get", "/profiles", "viewer"),
    ("post", "/profiles", "operator"),
    ("get", "/profiles/{id}", "viewer"),
    ("get", "/profiles/{id}/versions", "viewer"),
    ("post", "/profiles/{id}/versions", "operator"),
    ("post", "/profiles/{id}/versions/{n}/dry-run", "operator"),
    ("post", "/profiles/{id}/versions/{n}/publish", "operator"),
    ("post", "/profiles/{id}/rollback", "operator"),
    ("get", "/openapi.json", "public"),
    ("post", "/session", "sign_in"),
    ("get", "/session", "signed_in"),
    ("delete", "/session", "signed_in"),
    ("post", "/session/totp", "signed_in"),
    ("get", "/users", "owner"),
    ("post", "/users", "owner"),
    ("patch", "/users/{id}", "owner"),
    ("delete", "/users/{id}", "owner"),
    ("get", "/api-keys", "owner"),
    ("post", "/api-keys", "owner"),
    ("patch", "/api-keys/{id}", "owner"),
    ("delete", "/api-keys/{id}", "owner"),
    ("get", "/webhooks", "owner"),
    ("post", "/webhooks", "owner"),
    ("delete", "/webhooks/{id}", "owner"),
    ("get", "/webhooks/{id}/deliveries", "owner"),
    ("post", "/webhooks/{id}/ping", "owner"),
    ("post", "/webhooks/{id}/deliveries/{delivery_id}/resend", "owner"),
    ("get", "/audit", "viewer"),
    ("get", "/audit/verify", "viewer"),
];

/// A route of the document.
struct Route {
    verb: String,
    path: String,
    access: String,
}

/// Every route of the document that the server hands out. The one that ends a session comes last: it would end the
/// test's own.
async fn routes(world: &World) -> Vec<Route> {
    let document = world.nobody().get("/openapi.json").await.json();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (verb, operation) in operations.as_object().unwrap() {
            let (verb, path) = (verb.clone(), path.strip_prefix("/v1/admin").unwrap().to_owned());
            routes.push(Route { verb, path, access: operation["x-access"].as_str().unwrap().to_owned() });
        }
    }
    routes.sort_by_key(|route| route.verb == "delete" && route.path == "/session");
    routes
}

impl Route {
    /// Asks for it, of something that isn't there, with nothing that could be done.
    async fn call(&self, client: &Client) -> String {
        let uuid = "01920000-0000-7000-8000-000000000000";
        let path = self
            .path
            .replace("{id}", uuid)
            .replace("{n}", "1")
            .replace("{kid}", uuid)
            .replace("{delivery_id}", uuid);
        let body = if matches!(self.verb.as_str(), "get" | "delete") { Value::Null } else { json!({}) };
        let method = Method::from_bytes(self.verb.to_uppercase().as_bytes()).unwrap();
        client.clone().with("if-match", "\"1\"").call(method, &path, &body).await.word()
    }

    /// Whether somebody of this role may call it; none: nobody is known.
    fn allows(&self, role: Option<Role>) -> bool {
        match (self.access.as_str(), role) {
            ("public" | "sign_in", _) | ("signed_in", Some(_)) => true,
            (_, None) => false,
            (wanted, Some(role)) => role >= wanted.parse().unwrap(),
        }
    }

    async fn assert(&self, who: &str, client: &Client, role: Option<Role>) {
        let word = self.call(client).await;
        let refusal = if role.is_none() { "401 unauthorized" } else { "403 forbidden" };
        let name = format!("{} {} as {who}", self.verb, self.path);
        if self.allows(role) {
            assert!(!word.starts_with("401") && word != "403 forbidden", "{name}: {word}");
        } else {
            assert_eq!(word, refusal, "{name}");
        }
        assert!(!word.starts_with('5'), "{name}: {word}");
    }
}

#[tokio::test]
async fn every_route_of_the_document_has_its_entry_and_every_entry_its_route() {
    let world = World::new().await;
    let routes = routes(&world).await;
    for route in &routes {
        let entry = MAY_CALL.iter().find(|(verb, path, _)| *verb == route.verb && *path == route.path);
        let may = entry.unwrap_or_else(|| panic!("{} {} has no entry", route.verb, route.path)).2;
        assert_eq!(route.access, may, "{} {}", route.verb, route.path);
    }
    assert_eq!(routes.len(), MAY_CALL.len());
}

#[tokio::test]
async fn each_route_is_open_to_its_role_and_those_above_and_to_nobody_else() {
    let world = World::new().await;
    let routes = routes(&world).await;
    for role in Role::ALL {
        let (person, script) = (world.person(role).await, world.script(role).await);
        for route in &routes {
            // A key has no session to end and no second factor.
            if !route.path.starts_with("/session") || route.verb == "get" {
                route.assert(&format!("a {role}'s key"), &script, Some(role)).await;
            }
            route.assert(&format!("a {role} at a browser"), &person, Some(role)).await;
        }
    }
}

#[tokio::test]
async fn nobody_and_what_holds_no_longer_and_what_is_somebody_elses_open_nothing() {
    let world = World::new().await;
    let routes = routes(&world).await;
    let site = |client: Client| client.with("x-requested-with", "qubictether");
    let ended = {
        let (person, script) = (world.person(Role::Owner).await, world.script(Role::Owner).await);
        world.database.run("UPDATE api_keys SET expires_at = created_at + interval '1 day'").await;
        world.pass(7 * 86_400);
        [("an ended session", person), ("an ended key", script)]
    };
    // Well formed, and given out by another server.
    let other = jose_jwt::base64url::encode(&array::<32>(&OsRandom));
    let others = [
        ("nobody", site(world.nobody())),
        ("another server's session", site(world.nobody().with("cookie", &format!("qt_session={other}")))),
        ("another server's key", world.nobody().with("authorization", &format!("Bearer qt_api_{other}"))),
        ("no key at all", world.nobody().with("authorization", "Bearer nonsense")),
        ("another scheme", world.nobody().with("authorization", &format!("Basic {other}"))),
    ];
    for (who, client) in ended.into_iter().chain(others) {
        for route in routes.iter().filter(|route| route.access != "sign_in") {
            route.assert(who, &client, None).await;
        }
    }
}

#[tokio::test]
async fn a_stolen_cookie_is_refused_without_the_header_and_from_another_origin_everywhere() {
    let world = World::new().await;
    let person = world.person(Role::Owner).await;
    let bare = person.clone().without("x-requested-with");
    for route in routes(&world).await.iter().filter(|route| route.access != "public") {
        let name = format!("{} {}", route.verb, route.path);
        for origin in ["https://evil.example.com", "null", "http://127.0.0.1:8080.example.com"] {
            assert_eq!(route.call(&person.clone().with("origin", origin)).await, "403 forbidden", "{name}");
        }
        let word = route.call(&bare).await;
        assert_eq!(word == "403 forbidden", route.verb != "get", "{name}: {word}");
        let same = person.clone().with("origin", "http://127.0.0.1:8080");
        assert_ne!(route.call(&same).await, "403 forbidden", "{name}");
    }
    let script = world.script(Role::Owner).await;
    let foreign = script.clone().with("origin", "https://evil.example.com");
    assert_eq!(foreign.get("/licenses").await.word(), "403 forbidden", "nor may a foreign page use a key");
    assert_eq!(script.with("origin", "http://127.0.0.1:8080").get("/licenses").await.status, 200);
}

#[tokio::test]
async fn an_origin_that_the_operator_names_may_call_and_read_what_it_is_told() {
    let world = World::new().await;
    let own = world.nobody().with("origin", "http://127.0.0.1:8080");
    let preflight = own.call(Method::OPTIONS, "/users", &Value::Null).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-origin"], "http://127.0.0.1:8080");
    assert!(preflight.headers["access-control-allow-headers"].to_str().unwrap().contains("If-Match"));
    let refused = own.get("/users").await;
    assert_eq!(refused.word(), "401 unauthorized");
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    assert_eq!(refused.headers["access-control-allow-origin"], "http://127.0.0.1:8080");
    let foreign = world.nobody().with("origin", "https://evil.example.com");
    let refused = foreign.call(Method::OPTIONS, "/users", &Value::Null).await;
    assert_eq!(refused.word(), "405 method_not_allowed");
    assert!(!foreign.get("/openapi.json").await.headers.contains_key("access-control-allow-origin"));
}
