// A server that keeps to the protocol, unless a test wants it otherwise.

use std::sync::{Mutex, MutexGuard};

use jose_jwt::{Jwk, SigningKey};
use policy::{Reason, Rule, Rung, State};
use protocol::{
    InstallId, LicenseId, LicenseKey, ProductCode, ProfileId, Secret, TokenId,
    ambient::{Clock, ManualClock},
    claims::{DecisionClaims, KeysetClaims, KeysetKey, ProfileClaim, RootClaims, Use},
    json, keyset,
    problem::{Code, Problem},
    proof::{Operation, ProofHeader},
    response::{ActivateResponse, DecisionResponse, RekeyResponse},
    token,
};
use qubictether_agent::{
    Error,
    transport::{Answer, Answering, Request, Transport},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::leasing::Leasing;

pub(crate) const NOW: i64 = 1_790_000_000;
pub(crate) const ISSUER: &str = "https://license.example.com";
pub(crate) const PRODUCT: &str = "acme-render";
pub(crate) const LICENSE_KEY: &str = "QT1-DQSGN8-DJS3C2-WZDKGS-EY840A-45HYW4";

/// What becomes of an answer on its way.
type Tamper = Box<dyn FnMut(&Request, Answer) -> Result<Answer, Error> + Send>;

/// What a test wants a token to say.
type Edit = Box<dyn FnMut(&mut DecisionClaims) + Send>;

/// What the server knows, and what it does otherwise than the protocol wants.
pub(crate) struct Books {
    pub(crate) clock: ManualClock,
    pub(crate) root: SigningKey,
    pub(crate) token_key: SigningKey,
    pub(crate) lease_key: SigningKey,
    pub(crate) keyset: KeysetClaims,
    /// The successors of roots, by the `kid` of the one before.
    pub(crate) successors: Vec<(String, String)>,
    pub(crate) install: InstallId,
    pub(crate) license: LicenseId,
    /// Whatever proves a request.
    pub(crate) secrets: Vec<Secret>,
    pub(crate) high: u64,
    pub(crate) state: (State, Rule, Reason),
    pub(crate) interval: i64,
    /// Seconds after a decision at which its rungs are.
    pub(crate) rungs: Vec<(i64, State, u8)>,
    pub(crate) requests: Vec<Request>,
    pub(crate) tamper: Option<Tamper>,
    pub(crate) edit: Option<Edit>,
    pub(crate) leasing: Leasing,
    made: u8,
}

impl Books {
    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.requests.iter().filter(|request| request.path == path).count()
    }

    /// The proofs of the requests to a path.
    pub(crate) fn proofs(&self, path: &str) -> Vec<ProofHeader> {
        let of_path = self.requests.iter().filter(|request| request.path == path);
        let headers = of_path.filter_map(|request| request.authorization.as_ref());
        headers.map(|header| ProofHeader::parse(header.as_bytes()).unwrap()).collect()
    }

    pub(crate) fn rule(number: u8) -> Rule {
        Rule::new(number).unwrap()
    }

    pub(crate) fn decide(&mut self, state: State, rule: u8, reason: Reason) {
        self.state = (state, Self::rule(rule), reason);
    }

    /// A key that no other call gives.
    pub(crate) fn new_key(&mut self) -> SigningKey {
        self.made += 1;
        SigningKey::from_seed(&[self.made; 32])
    }

    /// Signs tokens with a new key from now on, and publishes it under a new version.
    pub(crate) fn rotate(&mut self) {
        self.token_key = self.new_key();
        self.keyset.keys = vec![jwk(&self.token_key, Use::Token), jwk(&self.lease_key, Use::Lease)];
        self.publish();
    }

    /// Makes a new version of the keyset.
    pub(crate) fn publish(&mut self) {
        self.keyset.version += 1;
        self.keyset.iat = self.clock.unix_seconds();
        self.keyset.exp = self.keyset.iat + 2_592_000;
    }

    /// Moves on to a new root.
    pub(crate) fn succeed_root(&mut self) {
        let next = self.new_key();
        let root = Jwk::from(next.public().clone());
        let claims = RootClaims { iss: ISSUER.into(), iat: self.clock.unix_seconds(), root };
        self.successors.push((self.root.kid().to_owned(), keyset::sign_successor(&claims, &self.root)));
        self.root = next;
    }

    pub(crate) fn claims(&self, request: (protocol::Nonce, u64)) -> DecisionClaims {
        let now = self.clock.unix_seconds();
        let (state, rule, reason) = self.state;
        let rung = |(after, state, number): &(i64, State, u8)| rung(now + after, *state, *number);
        DecisionClaims {
            iss: ISSUER.into(),
            sub: self.install,
            aud: product(),
            lic: self.license,
            pro: ProfileClaim { id: ProfileId::new(NOW * 1000, [1; 10]), version: 1 },
            ent: serde_json::value::RawValue::from_string("{\"edition\":\n \"pro\"}".into()).unwrap(),
            iat: now,
            nbf: now,
            exp: now + 900,
            jti: TokenId::new(NOW * 1000, [2; 10]),
            nonce: request.0,
            ctr: request.1,
            high: self.high,
            state,
            rule,
            reason,
            nhb: self.interval,
            ladder: self.rungs_now().iter().map(rung).collect(),
            fpd: String::new(),
            ksv: self.keyset.version,
        }
    }

    pub(crate) fn token(&mut self, request: (protocol::Nonce, u64)) -> protocol::response::CompactJose {
        let mut claims = self.claims(request);
        if let Some(edit) = &mut self.edit {
            edit(&mut claims);
        }
        token::sign(&claims, &self.token_key)
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let body = request.body.as_deref().map_or(&[][..], Vec::as_slice);
        match request.path.as_str() {
            "/v1/activate" => self.activate(body),
            "/v1/heartbeat" => self.proven(request, &Operation::Heartbeat, |books, proof, _| {
                books.decision((proof.nonce, proof.counter.value()))
            }),
            "/v1/leases" => self.grant(request),
            "/v1/rekey" => self.proven(request, &Operation::Rekey, |books, proof, _| {
                let secret = Secret::from_bytes(*books.new_key().seed());
                books.secrets.push(secret.clone());
                let (counter, server_time) = (proof.counter.value(), books.clock.unix_seconds());
                respond(200, &RekeyResponse { secret, counter, server_time })
            }),
            "/v1/deactivate" => self.proven(request, &Operation::Deactivate, |books, _, _| {
                books.secrets.clear();
                Answer { status: 204, ..Answer::default() }
            }),
            "/v1/keyset" => text(200, keyset::sign(&self.keyset, &self.root)),
            path if path.ends_with("/return") => self.take_back(request),
            path => {
                let kid = path.strip_prefix("/v1/keyset/successor/").unwrap_or_default();
                let successor = self.successors.iter().find(|(root, _)| root == kid);
                successor.map_or_else(|| self.refuse(Code::NotFound), |(_, jws)| text(200, jws.clone()))
            }
        }
    }

    pub(crate) fn decision(&mut self, request: (protocol::Nonce, u64)) -> Answer {
        let token = self.token(request);
        let (state, server_time) = (self.state.0, self.clock.unix_seconds());
        respond(200, &DecisionResponse { state, next_heartbeat_in: self.interval, server_time, token })
    }

    fn activate(&mut self, body: &[u8]) -> Answer {
        let read = protocol::request::ActivateRequest::read(&json::parse(body).unwrap()).unwrap();
        if LicenseKey::parse(&read.license_key).ok() != LicenseKey::parse(LICENSE_KEY).ok() {
            return self.refuse(Code::LicenseRefused);
        }
        let secret = Secret::from_bytes(*self.new_key().seed());
        self.secrets = vec![secret.clone()];
        self.high = 0;
        let token = self.token((read.nonce, 0));
        let response = ActivateResponse {
            install_id: self.install,
            license_id: self.license,
            secret,
            counter: 0,
            state: self.state.0,
            next_heartbeat_in: self.interval,
            server_time: self.clock.unix_seconds(),
            token,
        };
        respond(201, &response)
    }

    /// Serves who proves a request, and says by which secret.
    pub(crate) fn proven(
        &mut self,
        request: &Request,
        operation: &Operation,
        serve: impl FnOnce(&mut Self, &ProofHeader, &Secret) -> Answer,
    ) -> Answer {
        let now = self.clock.unix_seconds();
        let proof = ProofHeader::parse(request.authorization.as_ref().unwrap().as_bytes()).unwrap();
        let hash = Sha256::digest(request.body.as_deref().map_or(&[][..], Vec::as_slice)).into();
        let is_known = (proof.install, proof.license) == (self.install, self.license);
        let used = self.secrets.iter().position(|secret| proof.verify(secret, operation, &hash, now));
        match used {
            Some(used) if is_known => {
                if proof.counter.value() <= self.high {
                    return self.refuse(Code::CounterStale);
                }
                self.high = proof.counter.value();
                let secret = self.secrets[used].clone();
                // Whoever uses the newest secret lets the older ones die.
                if used + 1 == self.secrets.len() {
                    self.secrets.drain(..used);
                }
                serve(self, &proof, &secret)
            }
            _ => self.refuse(Code::InvalidProof),
        }
    }

    pub(crate) fn refuse(&self, code: Code) -> Answer {
        refusal(code, self.clock.unix_seconds())
    }
}

pub(crate) fn product() -> ProductCode {
    PRODUCT.parse().unwrap()
}

pub(crate) fn jwk(key: &SigningKey, use_for: Use) -> KeysetKey {
    KeysetKey { jwk: Jwk::from(key.public().clone()), use_for }
}

pub(crate) fn rung(at: i64, state: State, number: u8) -> Rung {
    let reason = if state == State::Leased { Reason::OfflineLease } else { Reason::OutOfContact };
    Rung { at, state, rule: Books::rule(number), reason }
}

pub(crate) fn refusal(code: Code, server_time: i64) -> Answer {
    respond(code.status(), &Problem::new(code, "", "request-1".into(), server_time))
}

pub(crate) fn respond(status: u16, body: &impl Serialize) -> Answer {
    Answer { status, body: serde_json::to_vec(body).unwrap().into(), ..Answer::default() }
}

pub(crate) fn text(status: u16, body: String) -> Answer {
    Answer { status, body: body.into_bytes().into(), ..Answer::default() }
}

/// The server, as a transport that reaches it.
pub(crate) struct Server(Mutex<Books>);

impl Server {
    pub(crate) fn new() -> Self {
        let [root, token_key, lease_key] = [101, 102, 103].map(|seed| SigningKey::from_seed(&[seed; 32]));
        let keyset = KeysetClaims {
            iss: ISSUER.into(),
            version: 1,
            iat: NOW,
            exp: NOW + 2_592_000,
            keys: vec![jwk(&token_key, Use::Token), jwk(&lease_key, Use::Lease)],
        };
        Self(Mutex::new(Books {
            clock: ManualClock::at(NOW),
            root,
            token_key,
            lease_key,
            keyset,
            successors: Vec::new(),
            install: InstallId::new(NOW * 1000, [3; 10]),
            license: LicenseId::new(NOW * 1000, [4; 10]),
            secrets: Vec::new(),
            high: 0,
            state: (State::Authorized, Books::rule(14), Reason::Ok),
            interval: 300,
            rungs: vec![(3600, State::Grace, 11), (7200, State::Degraded, 10), (10_800, State::Locked, 9)],
            requests: Vec::new(),
            tamper: None,
            edit: None,
            leasing: Leasing::default(),
            made: 0,
        }))
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap()
    }

    /// Tampers with every answer from now on.
    pub(crate) fn tamper(
        &self,
        tamper: impl FnMut(&Request, Answer) -> Result<Answer, Error> + Send + 'static,
    ) {
        self.books().tamper = Some(Box::new(tamper));
    }

    /// Signs other claims from now on.
    pub(crate) fn edit(&self, edit: impl FnMut(&mut DecisionClaims) + Send + 'static) {
        self.books().edit = Some(Box::new(edit));
    }

    /// Keeps to the protocol again.
    pub(crate) fn behave(&self) {
        let mut books = self.books();
        books.tamper = None;
        books.edit = None;
        books.leasing.edit = None;
    }

    /// Is away from now on: requests don't reach it.
    pub(crate) fn leave(&self) {
        self.tamper(|_, _| Err(Error::TimedOut));
    }

    pub(crate) fn answer(&self, request: &Request) -> Result<Answer, Error> {
        let mut books = self.books();
        books.requests.push(request.clone());
        let answer = books.answer(request);
        match &mut books.tamper {
            Some(tamper) => tamper(request, answer),
            None => Ok(answer),
        }
    }
}

impl Transport for Server {
    fn send(&self, request: Request) -> Answering<'_> {
        Box::pin(async move { self.answer(&request) })
    }
}
