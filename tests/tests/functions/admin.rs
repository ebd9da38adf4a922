//! The admin API over a real database: who may call it, and what it does.

mod access;
mod api_keys;
mod audit;
mod bulk;
mod conventions;
mod dry_run;
mod explained;
mod function;
mod heartbeats;
mod hold;
mod import;
mod installs;
mod leases;
mod licenses;
mod profiles;
mod session;
mod signing_keys;
mod sweeping;
mod totp;
mod users;
mod webhook_delivering;
mod webhook_targets;
mod webhooks;

use std::sync::Arc;

use ::admin::password::Password;
use ::admin::{Operator, api_key, user};
use axum::body::Body;
use edge::testing::{Answer, TestEdge};
use http::{Method, Request};
use protocol::admin::{NewApiKey, Role};
use serde_json::{Value, json};

use crate::World;

pub(crate) use function::AdminFunction;

/// The password of whomever a test makes.
pub(crate) const PASSWORD: &str = "as long as twelve";

/// What somebody calls the admin API with.
#[derive(Clone)]
pub(crate) struct Client {
    server: TestEdge,
    function: Arc<AdminFunction>,
    headers: Vec<(&'static str, String)>,
}

impl World {
    /// Nobody that is known.
    pub(crate) fn nobody(&self) -> Client {
        Client { server: self.server.clone(), function: self.function.clone(), headers: Vec::new() }
    }

    /// A script with a key of this role.
    pub(crate) async fn script(&self, role: Role) -> Client {
        let store = &self.server.edge.store;
        let wanted = NewApiKey { name: format!("the test's {role}"), role, expires_at: None };
        let created = api_key::create(&Operator::at_the_command_line(store), wanted).await.unwrap();
        self.nobody().with("authorization", &format!("Bearer {}", created.api_key))
    }

    /// Makes somebody who may sign in, with [`PASSWORD`].
    pub(crate) async fn user(&self, email: &str, role: Role) {
        let operator = Operator::at_the_command_line(&self.server.edge.store);
        let password = Password::parse(PASSWORD).unwrap();
        user::create_here(&operator, email, role, &password).await.unwrap();
    }

    /// Somebody of this role who is signed in at a browser.
    pub(crate) async fn person(&self, role: Role) -> Client {
        let email = format!("{role}@example.com");
        self.user(&email, role).await;
        self.signed_in(&email).await
    }

    /// A browser in which somebody has signed in.
    pub(crate) async fn signed_in(&self, email: &str) -> Client {
        let answer = self.sign_in(&json!({ "email": email, "password": PASSWORD })).await;
        assert_eq!(answer.status, 201, "{}", answer.word());
        self.nobody().with("cookie", &cookie(&answer)).with("x-requested-with", "qubictether")
    }

    pub(crate) async fn sign_in(&self, credentials: &Value) -> Answer {
        let browser = self.nobody().with("x-requested-with", "qubictether");
        browser.post("/session", credentials).await
    }
}

/// The cookie that an answer sets, as a browser sends it back.
pub(crate) fn cookie(answer: &Answer) -> String {
    let set = answer.headers["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

impl Client {
    /// With one more header.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Without a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(own, _)| *own != name);
        self
    }

    /// Calls, with a body where it isn't null.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/v1/admin{path}"));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        };
        self.send(request.body(body).unwrap()).await
    }

    /// Sends a request as it is: to this process, or to the Lambda binary.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        if function::is_chosen() {
            self.function.send(&self.server, request).await
        } else {
            self.server.send(request).await
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PUT, path, body).await
    }

    /// Changes something as it was last read.
    pub(crate) async fn patch(&self, path: &str, version: &Value, body: &Value) -> Answer {
        let tagged = self.clone().with("if-match", &format!("\"{version}\""));
        tagged.call(Method::PATCH, path, body).await
    }

    /// Removes something as it was last read.
    pub(crate) async fn delete(&self, path: &str, version: &Value) -> Answer {
        let tagged = self.clone().with("if-match", &format!("\"{version}\""));
        tagged.call(Method::DELETE, path, &Value::Null).await
    }
}

/// The pointers of a refusal's errors.
pub(crate) fn pointers(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let errors = body["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}
