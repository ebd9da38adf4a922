//! A function over a test database, called without a socket, and an agent that calls it.

mod receiver;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::BodyExt;
use protocol::ambient::{Random, SeededRandom, array};
use protocol::proof::{Operation, ProofHeader};
use protocol::{
    Counter, Fingerprint, InstallId, LeaseId, LicenseId, LicenseKey, Nonce, ProductCode, Secret, fingerprint,
};
use serde_json::{Value, json};
use store::testing::{ISSUER, TestDatabase};
use tower::ServiceExt;

use crate::{Edge, Settings, envelope};

pub use receiver::{Received, Receiver};

/// A test's server process: its edge and its router.
#[derive(Clone)]
pub struct TestEdge {
    /// The edge that the router works with.
    pub edge: Arc<Edge>,
    router: Router,
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The problem's code, or the decision's state.
    pub fn word(&self) -> String {
        let body = self.json();
        let word = body.get("code").or(body.get("state")).and_then(Value::as_str);
        format!("{} {}", self.status, word.unwrap_or("-"))
    }

    /// The claims of the answer's token, unverified.
    ///
    /// # Panics
    /// When there is no token.
    pub fn claims(&self) -> Value {
        let body = self.json();
        let token = body["token"].as_str().expect("a token");
        let payload = token.split('.').nth(1).expect("three parts");
        serde_json::from_slice(&jose_jwt::base64url::decode(payload).expect("base64url")).expect("JSON")
    }
}

impl TestEdge {
    /// A process over `database`. `seed` has to differ between processes over the same one.
    ///
    /// # Panics
    /// When the database's keys don't open.
    pub async fn new(
        database: &TestDatabase,
        seed: u64,
        routes: impl FnOnce(&Arc<Edge>) -> Router<Arc<Edge>>,
    ) -> Self {
        Self::with(database, seed, &[], routes).await
    }

    /// A process with settings of its own, by the names of their variables.
    ///
    /// # Panics
    /// When a setting is wrong, or the database's keys don't open.
    pub async fn with(
        database: &TestDatabase,
        seed: u64,
        set: &[(&str, &str)],
        routes: impl FnOnce(&Arc<Edge>) -> Router<Arc<Edge>>,
    ) -> Self {
        let set =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        let settings = Settings::read(|name| match name {
            "QT_DATABASE_URL" => Some(database.url.clone()),
            "QT_KEK_FILE" => Some("unused".to_owned()),
            "QT_PUBLIC_URL" => Some(ISSUER.to_owned()),
            _ => set(name),
        });
        let edge = Edge::new(database.store(seed).await, settings.expect("the test's settings are right"));
        let router = envelope::wrap(routes(&edge), edge.clone());
        Self { edge, router }
    }

    /// What answers, for who calls it by other means.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Panics
    /// When the answer's body breaks off, which one in memory doesn't.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response: Response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body in memory").to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// A GET.
    ///
    /// # Panics
    /// When `path` is no path.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a path")).await
    }

    /// A POST of JSON, with a proof where there is one.
    ///
    /// # Panics
    /// When `path` is no path.
    pub async fn post(&self, path: &str, proof: Option<&str>, body: impl Into<Body>) -> Answer {
        let mut request = Request::post(path).header(CONTENT_TYPE, "application/json");
        if let Some(proof) = proof {
            request = request.header(AUTHORIZATION, proof);
        }
        self.send(request.body(body.into()).expect("a path")).await
    }
}

/// A machine: what an agent on it says of itself.
#[derive(Clone)]
pub struct TestMachine {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

impl TestMachine {
    /// A machine with three components of its own by `number`.
    ///
    /// # Panics
    /// Never: the components are well formed.
    pub fn new(number: u64) -> Self {
        Self { fingerprint: components(&[number; 3]) }
    }

    /// A machine by its board serial, its MAC and its machine id.
    pub fn with_components(raw: [u64; 3]) -> Self {
        Self { fingerprint: components(&raw) }
    }

    /// A nonce that nothing else in this test has.
    ///
    /// # Panics
    /// Never: 24 bytes are a nonce.
    pub fn nonce(&self) -> Nonce {
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let random = SeededRandom::new(DRAWN.fetch_add(1, Ordering::Relaxed));
        Nonce::from_bytes(&array::<24>(&random)).expect("24 bytes are a nonce")
    }

    /// An activation's body.
    pub fn activation(&self, key: &LicenseKey, nonce: &Nonce) -> Value {
        json!({ "license_key": *key.printed(), "nonce": nonce, "instance_id": "AAAAAAAAAAAAAAAAAAAAAA",
                "fingerprint": self.fingerprint, "agent": { "version": "1.4.2", "platform": "linux-x86_64" } })
    }

    /// Activates it.
    ///
    /// # Errors
    /// The answer, when it isn't 201.
    ///
    /// # Panics
    /// When a 201 isn't as described.
    pub async fn activate(&self, edge: &TestEdge, key: &LicenseKey) -> Result<TestAgent, Answer> {
        let answer = edge.post("/v1/activate", None, self.activation(key, &self.nonce()).to_string()).await;
        if answer.status == 201 { Ok(TestAgent::of(self.clone(), &answer)) } else { Err(answer) }
    }
}

fn components(raw: &[u64; 3]) -> Fingerprint {
    let product: ProductCode = "acme-render".parse().expect("a product code");
    let named = ["board_serial", "mac", "machine_id"].iter().zip(raw);
    let digests = named.map(|(name, raw)| (*name, fingerprint::digest(&product, name, &raw.to_string())));
    Fingerprint::new(digests).expect("three components")
}

/// An activated agent.
#[derive(Clone)]
pub struct TestAgent {
    /// Where it runs.
    pub machine: TestMachine,
    /// Its install.
    pub install: InstallId,
    /// Its license.
    pub license: LicenseId,
    /// Its secret.
    pub secret: Secret,
    /// The last counter that it used.
    pub counter: u64,
    /// What it says its version is.
    pub version: String,
    /// How far its clock is ahead, seconds.
    pub skew: i64,
}

impl TestAgent {
    /// What an activation's answer makes of a machine.
    ///
    /// # Panics
    /// When the answer isn't as described.
    pub fn of(machine: TestMachine, activated: &Answer) -> Self {
        let body: protocol::response::ActivateResponse =
            serde_json::from_slice(&activated.body).expect("an activation");
        Self {
            machine,
            install: body.install_id,
            license: body.license_id,
            secret: body.secret,
            counter: body.counter,
            version: "1.4.2".to_owned(),
            skew: 0,
        }
    }

    /// A heartbeat's body.
    pub fn body(&self, now: i64) -> String {
        json!({ "instance_id": "AAAAAAAAAAAAAAAAAAAAAA", "fingerprint": self.machine.fingerprint,
                "agent": { "version": self.version, "platform": "linux-x86_64" },
                "clock": { "unix": now + self.skew, "monotonic_ms": 1, "boot_id": "b" } })
        .to_string()
    }

    /// The next attempt's proof of an operation.
    ///
    /// # Panics
    /// When the counter is used up.
    pub fn prove(&mut self, operation: &Operation, now: i64, body: &[u8]) -> String {
        self.counter += 1;
        let counter = Counter::new(self.counter).expect("a counter");
        let header = ProofHeader::unsigned(self.install, self.license, counter, self.machine.nonce());
        header.sign(&self.secret, operation, now, body).to_string()
    }

    /// A heartbeat that could be sent any number of times: its proof and its body.
    pub fn heartbeat(&mut self, edge: &TestEdge) -> (String, String) {
        let now = edge.edge.now();
        let body = self.body(now);
        (self.prove(&Operation::Heartbeat, now, body.as_bytes()), body)
    }

    /// Beats.
    pub async fn beat(&mut self, edge: &TestEdge) -> Answer {
        let (proof, body) = self.heartbeat(edge);
        edge.post("/v1/heartbeat", Some(&proof), body).await
    }

    /// Asks for an operation without a body.
    ///
    /// # Panics
    /// When `path` is no path.
    pub async fn ask(&mut self, edge: &TestEdge, path: &str, operation: &Operation) -> Answer {
        let proof = self.prove(operation, edge.edge.now(), b"");
        let request = Request::post(path).header(AUTHORIZATION, proof);
        edge.send(request.body(Body::empty()).expect("a path")).await
    }

    /// A request for a lease of so many seconds that could be sent any number of times: its proof and its body.
    ///
    /// # Panics
    /// Never: a heartbeat's body is an object.
    pub fn lease_request(&mut self, edge: &TestEdge, seconds: i64) -> (String, String) {
        let now = edge.edge.now();
        let mut body: Value = serde_json::from_str(&self.body(now)).expect("an object");
        body["duration_seconds"] = json!(seconds);
        let body = body.to_string();
        (self.prove(&Operation::Lease, now, body.as_bytes()), body)
    }

    /// Asks for a lease of so many seconds.
    pub async fn ask_lease(&mut self, edge: &TestEdge, seconds: i64) -> Answer {
        let (proof, body) = self.lease_request(edge, seconds);
        edge.post("/v1/leases", Some(&proof), body).await
    }

    /// Takes a lease of so many seconds.
    ///
    /// # Panics
    /// When it isn't granted.
    pub async fn take_lease(&mut self, edge: &TestEdge, seconds: i64) -> TestLease {
        let answer = self.ask_lease(edge, seconds).await;
        assert_eq!(answer.status, 201, "{}", answer.word());
        TestLease::of(&answer)
    }

    /// Gives a lease back.
    pub async fn return_lease(&mut self, edge: &TestEdge, lease: LeaseId) -> Answer {
        self.ask(edge, &format!("/v1/leases/{lease}/return"), &Operation::LeaseReturn(lease)).await
    }

    /// Asks for a new secret, and takes it when it comes.
    ///
    /// # Panics
    /// When a 200 isn't as described.
    pub async fn rekey(&mut self, edge: &TestEdge) -> Answer {
        let answer = self.ask(edge, "/v1/rekey", &Operation::Rekey).await;
        if answer.status == 200 {
            self.secret =
                answer.json()["secret"].as_str().and_then(|text| text.parse().ok()).expect("a secret");
        }
        answer
    }
}

/// A lease that was granted.
#[derive(Debug, Clone)]
pub struct TestLease {
    /// Its id.
    pub id: LeaseId,
    /// Its end.
    pub ends_at: i64,
    /// What the agent takes along.
    pub artifact: String,
}

impl TestLease {
    /// What a grant's answer says.
    ///
    /// # Panics
    /// When the answer isn't as described.
    pub fn of(granted: &Answer) -> Self {
        let body: protocol::response::LeaseResponse = serde_json::from_slice(&granted.body).expect("a lease");
        Self { id: body.lease_id, ends_at: body.expires_at, artifact: body.artifact.0 }
    }

    /// The signed claims that `secret` opens.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn signed(&self, secret: &Secret) -> String {
        protocol::lease::open(&self.artifact, secret, self.id).expect("the secret's own artifact").0
    }

    /// Its claims, unverified.
    ///
    /// # Panics
    /// When the secret doesn't open it.
    pub fn claims(&self, secret: &Secret) -> Value {
        let signed = self.signed(secret);
        let payload = signed.split('.').nth(1).expect("three parts");
        serde_json::from_slice(&jose_jwt::base64url::decode(payload).expect("base64url")).expect("JSON")
    }
}

/// Bytes that no test chose.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededRandom::new(seed).fill(&mut bytes);
    bytes
}
