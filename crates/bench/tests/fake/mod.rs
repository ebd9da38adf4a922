//! A server that answers as the protocol says, in memory, and remembers what it was asked.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    thread,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jose_jwt::{Jwk, PublicKey, SigningKey};
use policy::{Reason, Rule, State};
use protocol::{
    Counter, InstallId, LicenseId, Nonce, ProductCode, ProfileId, Secret, TokenId,
    ambient::{Clock as _, OsRandom, SystemClock, array},
    claims::{DecisionClaims, KeysetClaims, KeysetKey, ProfileClaim, Use},
    json, keyset,
    problem::{Code, Problem},
    proof::{Operation, ProofHeader},
    request::{ActivateRequest, HeartbeatRequest},
    response::{ActivateResponse, DecisionResponse},
    token,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, runtime};

/// How the fake behaves beside the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Judges everything.
    Fair,
    /// Is overloaded at every third heartbeat.
    Overloaded,
    /// Answers every heartbeat as if it were the first.
    Wrong,
}

pub(crate) struct Fake {
    pub(crate) url: String,
    pub(crate) root: PublicKey,
    shared: Arc<Shared>,
}

struct Shared {
    mood: Mood,
    url: String,
    key: SigningKey,
    root: SigningKey,
    state: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    installs: HashMap<InstallId, (LicenseId, Secret, u64)>,
    keys: HashMap<String, u64>,
    heartbeats: u64,
}

type Reply = Response<Full<Bytes>>;

impl Fake {
    /// Starts one that ends with the test.
    pub(crate) fn start(mood: Mood) -> Self {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let root = SigningKey::from_seed(&[1; 32]);
        let shared = Arc::new(Shared {
            mood,
            url: url.clone(),
            key: SigningKey::from_seed(&[2; 32]),
            root: root.clone(),
            state: Mutex::default(),
        });
        let served = shared.clone();
        thread::spawn(move || runtime.block_on(serve(listener, served)));
        Self { url, root: root.public().clone(), shared }
    }

    /// How often each license key activated a machine.
    pub(crate) fn activations(&self) -> Vec<u64> {
        self.shared.state.lock().unwrap().keys.values().copied().collect()
    }

    /// The highest counter of each install.
    pub(crate) fn counters(&self) -> HashMap<String, u64> {
        let state = self.shared.state.lock().unwrap();
        state.installs.iter().map(|(id, (_, _, high))| (id.to_string(), *high)).collect()
    }

    /// How many heartbeats it was sent.
    pub(crate) fn heartbeats(&self) -> u64 {
        self.shared.state.lock().unwrap().heartbeats
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        let service = service_fn(move |request| {
            let shared = shared.clone();
            async move { Ok::<_, Infallible>(shared.answer(request).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        match (parts.method, parts.uri.path()) {
            (Method::POST, "/v1/activate") => self.activate(&body),
            (Method::POST, "/v1/heartbeat") => self.heartbeat(parts.headers[AUTHORIZATION].as_bytes(), &body),
            (Method::GET, "/v1/keyset") => self.keyset(),
            _ => problem(Code::NotFound),
        }
    }

    fn activate(&self, body: &[u8]) -> Reply {
        let request = ActivateRequest::read(&json::parse(body).unwrap()).unwrap();
        let now = SystemClock.unix_millis();
        let (install, license) =
            (InstallId::new(now, array(&OsRandom)), LicenseId::new(now, array(&OsRandom)));
        let secret = Secret::random(&OsRandom);
        let mut state = self.state.lock().unwrap();
        *state.keys.entry(request.license_key.to_string()).or_default() += 1;
        state.installs.insert(install, (license, secret.clone(), 0));
        let answer = ActivateResponse {
            install_id: install,
            license_id: license,
            secret,
            counter: 0,
            state: State::Authorized,
            next_heartbeat_in: 300,
            server_time: now / 1000,
            token: self.token(install, license, request.nonce, 0),
        };
        reply(StatusCode::CREATED, &answer)
    }

    fn heartbeat(&self, authorization: &[u8], body: &[u8]) -> Reply {
        let header = ProofHeader::parse(authorization).unwrap();
        let heartbeat = HeartbeatRequest::read(&json::parse(body).unwrap()).unwrap();
        let now = SystemClock.unix_seconds();
        assert!((now - heartbeat.clock.unix).abs() <= 62, "the agent's clock follows the server's");
        let mut state = self.state.lock().unwrap();
        state.heartbeats += 1;
        let turn = state.heartbeats;
        let (license, secret, high) = state.installs.get_mut(&header.install).unwrap();
        let digest = Sha256::digest(body).into();
        if header.license != *license || !header.verify(secret, &Operation::Heartbeat, &digest, now) {
            return problem(Code::InvalidProof);
        }
        if self.mood == Mood::Overloaded && turn.is_multiple_of(3) {
            return problem(Code::Overloaded);
        }
        assert!(header.counter.value() > *high, "an install's attempts come one after the other");
        *high = header.counter.value();
        let counter = if self.mood == Mood::Wrong { Counter::new(1).unwrap() } else { header.counter };
        let token = self.token(header.install, header.license, header.nonce, counter.value());
        reply(
            StatusCode::OK,
            &DecisionResponse { state: State::Authorized, next_heartbeat_in: 300, server_time: now, token },
        )
    }

    fn token(
        &self,
        sub: InstallId,
        lic: LicenseId,
        nonce: Nonce,
        ctr: u64,
    ) -> protocol::response::CompactJose {
        let now = SystemClock.unix_seconds();
        let claims = DecisionClaims {
            iss: self.url.clone(),
            sub,
            aud: "acme.vault".parse::<ProductCode>().unwrap(),
            lic,
            pro: ProfileClaim { id: ProfileId::new(0, [0; 10]), version: 1 },
            ent: serde_json::value::RawValue::from_string("{}".to_owned()).unwrap(),
            iat: now,
            nbf: now,
            exp: now + 900,
            jti: TokenId::new(0, array(&OsRandom)),
            nonce,
            ctr,
            high: ctr,
            state: State::Authorized,
            rule: Rule::new(14).unwrap(),
            reason: Reason::Ok,
            nhb: 300,
            ladder: Vec::new(),
            fpd: String::new(),
            ksv: 1,
        };
        token::sign(&claims, &self.key)
    }

    fn keyset(&self) -> Reply {
        let now = SystemClock.unix_seconds();
        let keys = vec![KeysetKey { jwk: Jwk::from(self.key.public().clone()), use_for: Use::Token }];
        let claims = KeysetClaims { iss: self.url.clone(), version: 1, iat: now, exp: now + 900, keys };
        Response::new(Full::new(keyset::sign(&claims, &self.root).into()))
    }
}

fn reply(status: StatusCode, body: &impl Serialize) -> Reply {
    let body = serde_json::to_vec(body).unwrap();
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}

fn problem(code: Code) -> Reply {
    let problem = Problem::new(code, "As the test wants it.", "1".to_owned(), SystemClock.unix_seconds());
    let mut reply = reply(StatusCode::from_u16(problem.status).unwrap(), &problem);
    if problem.status == 503 {
        reply.headers_mut().insert("retry-after", "1".parse().unwrap());
    }
    reply
}
