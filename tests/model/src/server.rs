//! A server process: what it makes of a request to an install as it read it. The rules are `protocol`'s own; the order is
//! that of `edge::proof`, `edge::contact`, and the handlers.

use jose_jwt::{Jwk, SigningKey};
use policy::{Reason, Rule, State};
use protocol::{
    InstallId, LicenseId, Nonce, ProductCode, ProfileId, Secret, TokenId,
    activation::Activations,
    admission::{Admitted, Memory, NotAdmitted, Proven},
    claims::{DecisionClaims, KeysetClaims, KeysetKey, ProfileClaim, Use},
    keyset,
    problem::{Code, Problem},
    rate::Rate,
    replay::ReplayState,
    response::{ActivateResponse, CompactJose, DecisionResponse, RekeyResponse},
    secrets::Secrets,
    token,
};
use qubictether_agent::transport::Answer;
use sha2::{Digest, Sha256};

use crate::{
    install::Install,
    pool::Pooled,
    scope::Broken,
    wire::{Ask, Wire},
};

pub(crate) const ISSUER: &str = "https://license.example.com";

/// Seconds between heartbeats.
const INTERVAL: i64 = 300;

/// How many reactivations are taken in thirty days: what an enforcement profile has where nobody says otherwise.
const REACTIVATIONS: Option<u32> = Some(10);

/// What the server's processes have in common.
pub(crate) struct Server {
    pub(crate) root: SigningKey,
    pub(crate) product: ProductCode,
    /// What every process answers who asks for the keyset.
    pub(crate) keyset: Answer,
    token_key: SigningKey,
    broken: Option<Broken>,
}

/// What came of a request.
pub(crate) struct Judgement {
    pub(crate) answer: Answer,
    /// What is to be committed, if it was judged.
    pub(crate) judged: Option<(Install, How)>,
    pub(crate) code: Option<Code>,
}

/// How a request was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum How {
    /// With its counter.
    Accepted,
    /// As that of a second holder of the secret.
    Fork,
    /// As the first activation of a machine, or that of one that was installed again.
    Activated,
    /// As an activation whose answer was lost.
    Retried,
}

impl Server {
    pub(crate) fn new(broken: Option<Broken>, now: i64) -> Self {
        let (root, token_key) = (SigningKey::from_seed(&[101; 32]), SigningKey::from_seed(&[102; 32]));
        let key = KeysetKey { jwk: Jwk::from(token_key.public().clone()), use_for: Use::Token };
        let claims =
            KeysetClaims { iss: ISSUER.into(), version: 1, iat: now, exp: now + 2_592_000, keys: vec![key] };
        let keyset = Answer {
            status: 200,
            body: keyset::sign(&claims, &root).into_bytes().into(),
            ..Answer::default()
        };
        let product = "acme-render".parse().expect("it is spelled as product codes are");
        Self { root, product, keyset, token_key, broken }
    }

    /// Judges a request to an install, as a process read it (`None`: it isn't there), at `now` (Unix seconds).
    pub(crate) fn judge(&self, install: Option<&Install>, wire: &Wire, now: i64) -> Judgement {
        if wire.ask == Ask::Activate {
            return self.activate(install, wire, now);
        }
        let Some(proven) = install.and_then(|install| prove(install, wire, now)) else {
            return refuse(Code::InvalidProof, now);
        };
        let Some(install) = install else { return refuse(Code::InvalidProof, now) };
        let admitted = match proven.admit(&install.replay, install.rate, now * 1000) {
            Ok(admitted) => admitted,
            Err(NotAdmitted::NonceReplayed) => return refuse(Code::NonceReplayed, now),
            Err(NotAdmitted::CounterStale) => return refuse(Code::CounterStale, now),
            Err(NotAdmitted::TooOften { .. }) => return refuse(Code::SlowDown, now),
        };
        let mut entered = install.clone();
        self.enter(&mut entered, &admitted, now);
        let answer = match wire.ask {
            Ask::Rekey if admitted.is_fork() => refusal(Code::Forbidden, now),
            Ask::Rekey => self.rekey(&mut entered, install, &admitted, now),
            _ => self.beat(&entered, &admitted, now),
        };
        let how = if admitted.is_fork() { How::Fork } else { How::Accepted };
        Judgement { answer, judged: Some((entered, how)), code: None }
    }

    fn enter(&self, install: &mut Install, admitted: &Admitted, now: i64) {
        let suspected = install.clone_suspected_at;
        let memory = Memory {
            secrets: install.secrets.as_mut(),
            replay: &mut install.replay,
            rate: &mut install.rate,
            clone_suspected_at: &mut install.clone_suspected_at,
        };
        admitted.enter(memory, now);
        let (replay, counter) = (&install.replay, admitted.counter().value());
        let (high, window, nonces) = (replay.high(), replay.window_bytes(), replay.nonce_bytes());
        let doctored = match self.broken {
            // All marked: whatever isn't above the highest was accepted, or lies below the window.
            Some(Broken::WindowOfOne) => ReplayState::from_bytes(high, [255; 32], nonces),
            Some(Broken::NoncesForgotten) => ReplayState::from_bytes(high, window, &[]),
            Some(Broken::HighestLowered) => ReplayState::from_bytes(counter, window, nonces),
            _ => return self.overlook(install, suspected),
        };
        install.replay = doctored.expect("it was read from one that is valid");
    }

    fn overlook(&self, install: &mut Install, suspected: Option<i64>) {
        if self.broken == Some(Broken::ForkUnnoticed) {
            install.clone_suspected_at = suspected;
        }
    }

    fn beat(&self, install: &Install, admitted: &Admitted, now: i64) -> Answer {
        let token = self.token(install, *admitted.nonce(), admitted.counter().value(), now);
        let answer = DecisionResponse {
            state: State::Authorized,
            next_heartbeat_in: INTERVAL,
            server_time: now,
            token,
        };
        respond(200, &answer)
    }

    fn rekey(&self, install: &mut Install, before: &Install, admitted: &Admitted, now: i64) -> Answer {
        let secret = new_secret(Some(before), admitted.nonce());
        if self.broken == Some(Broken::OldSecretDeadByRekey) {
            install.secrets = Some(Secrets::fresh(secret.clone()));
        } else if let Some(secrets) = &mut install.secrets {
            secrets.rekey(admitted.secret(), secret.clone());
        }
        respond(200, &RekeyResponse { secret, counter: admitted.counter().value(), server_time: now })
    }

    fn activate(&self, install: Option<&Install>, wire: &Wire, now: i64) -> Judgement {
        let nonce = wire.nonce();
        let secret = new_secret(install, &nonce);
        let (mut activated, how) = match install {
            None => (new_install(wire.install, Secrets::fresh(secret.clone()), &nonce, now), How::Activated),
            Some(known) => match self.again(known, &nonce, secret.clone(), now) {
                Some(again) => again,
                None => return refuse(Code::ReactivationLimit, now),
            },
        };
        if self.broken == Some(Broken::NoncesForgottenByActivation) {
            activated.replay = ReplayState::default();
        }
        activated.replay.activate(&nonce, now);
        let answer = ActivateResponse {
            install_id: install_id(wire.install),
            license_id: license_id(),
            secret,
            counter: 0,
            state: State::Authorized,
            next_heartbeat_in: INTERVAL,
            server_time: now,
            token: self.token(&activated, nonce, 0, now),
        };
        Judgement { answer: respond(201, &answer), judged: Some((activated, how)), code: None }
    }

    fn again(&self, known: &Install, nonce: &Nonce, secret: Secret, now: i64) -> Option<(Install, How)> {
        use protocol::activation::Again;

        let activations = Activations {
            last_digest: &known.activation_digest,
            last_at: known.activation_at,
            counted: &known.reactivations,
            next_is_free: known.next_reactivation_free,
        };
        let (again, reactivations) = activations.again(&digest(nonce), now, REACTIVATIONS)?;
        let how = if again == Again::Retry { How::Retried } else { How::Activated };
        let ends_others = self.broken == Some(Broken::OldSecretDeadByRetry);
        let again = if ends_others { Again::Reinstall } else { again };
        let install = Install {
            secrets: Some(again.secrets(known.secrets.clone(), secret)),
            activation_digest: digest(nonce),
            activation_at: now,
            reactivations,
            next_reactivation_free: false,
            ..known.clone()
        };
        Some((install, how))
    }

    fn token(&self, install: &Install, nonce: Nonce, counter: u64, now: i64) -> CompactJose {
        let claims = DecisionClaims {
            iss: ISSUER.into(),
            sub: install_id(install.number),
            aud: self.product.clone(),
            lic: license_id(),
            pro: ProfileClaim { id: ProfileId::new(0, [1; 10]), version: 1 },
            ent: serde_json::value::RawValue::from_string("{}".into()).expect("it is JSON"),
            iat: now,
            nbf: now,
            exp: now + 900,
            jti: TokenId::new(0, [2; 10]),
            nonce,
            ctr: counter,
            high: install.replay.high(),
            state: State::Authorized,
            rule: Rule::new(14).expect("there are fourteen rules"),
            reason: Reason::Ok,
            nhb: INTERVAL,
            ladder: Vec::new(),
            fpd: String::new(),
            ksv: 1,
        };
        token::sign(&claims, &self.token_key)
    }
}

/// An install that was activated now.
fn new_install(number: u8, secrets: Secrets, nonce: &Nonce, now: i64) -> Install {
    Install {
        number,
        secrets: Some(secrets),
        replay: ReplayState::default(),
        rate: Rate::default(),
        clone_suspected_at: None,
        activation_digest: digest(nonce),
        activation_at: now,
        reactivations: Vec::new(),
        next_reactivation_free: false,
    }
}

/// Whether the request is of somebody who holds a secret of this install.
pub(crate) fn prove(install: &Install, wire: &Wire, now: i64) -> Option<Proven> {
    let (header, operation) = (wire.header?, wire.operation()?);
    if header.install != install_id(install.number) {
        return None;
    }
    let secret = install.secrets.as_ref()?.verify(&header, &operation, &wire.body_sha256, now)?;
    Some(Proven { counter: header.counter, nonce: header.nonce, secret: secret.clone() })
}

pub(crate) fn install_id(number: u8) -> InstallId {
    InstallId::new(0, [3 + number; 10])
}

fn license_id() -> LicenseId {
    LicenseId::new(0, [9; 10])
}

/// A secret that nothing else is given: it is made of the install as it was, and of the request.
fn new_secret(before: Option<&Install>, nonce: &Nonce) -> Secret {
    let mut hash = Sha256::new();
    hash.update(before.map(Pooled::key).unwrap_or_default());
    hash.update(nonce.as_bytes());
    Secret::from_bytes(hash.finalize().into())
}

fn digest(nonce: &Nonce) -> [u8; 32] {
    Sha256::digest(nonce.as_bytes()).into()
}

fn refuse(code: Code, now: i64) -> Judgement {
    Judgement { answer: refusal(code, now), judged: None, code: Some(code) }
}

fn refusal(code: Code, now: i64) -> Answer {
    respond(code.status(), &Problem::new(code, "", "request".into(), now))
}

fn respond(status: u16, body: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_vec(body).expect("answers are structs of plain values");
    Answer { status, body: body.into(), ..Answer::default() }
}
