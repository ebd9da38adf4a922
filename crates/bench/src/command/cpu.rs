//! `qubictether-bench cpu`

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use bytes::Bytes;
use clap::Args;
use hmac::{Hmac, Mac as _};
use http::HeaderValue;
use jose_jwt::SigningKey;
use keyring::{Builder, Context, Keyring, Place, Purpose};
use policy::{Facts, Fingerprint, Profile, evaluate, ladder};
use protocol::{
    Counter, InstallId, LicenseId, Nonce, ProductCode, ProfileId, Secret, TokenId,
    ambient::{OsRandom, Random, array},
    claims::{DecisionClaims, ProfileClaim},
    json,
    proof::{Operation, ProofHeader},
    rate::{INSTALL_QUOTA, Rate},
    replay::{Arrival, ReplayState},
    request::HeartbeatRequest,
    secrets::Secrets,
    token,
};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{command::print, error::Error, install::Machine};

/// How many times in a row each of the two goes, before the other does.
const TURN: u32 = 20;

/// The engine's `now`: any will do.
const NOW: i64 = 1_790_000_000;

/// How many of an install's heartbeats are remembered when one is judged.
const REMEMBERED: u64 = 3;

#[derive(Debug, Args)]
pub(crate) struct CpuArgs {
    /// For how long both are measured, together.
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

/// What is printed: medians.
#[derive(Debug, Serialize)]
struct Report {
    /// HMAC of the proof's message, AES-GCM open of the secret, Ed25519 signature of the token: nothing else.
    bare_us: f64,
    /// What a server does for a heartbeat between reading it and writing it: proof, body, replay, rate, judgement,
    /// ladder, token.
    path_us: f64,
    ratio: f64,
}

impl CpuArgs {
    pub(crate) fn run(&self) -> Result<(), Error> {
        let server = Server::new(&OsRandom);
        let token = server.path();
        let (signing_input, _signature) = token.rsplit_once('.').expect("a compact JWS has three parts");
        let bare = Bare::new(&server, signing_input.as_bytes());
        let (mut bare_turns, mut path_turns) = (Vec::new(), Vec::new());
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(self.seconds.into()) {
            bare_turns.push(turn(|| bare.run()));
            path_turns.push(turn(|| server.path()));
        }
        let (bare_us, path_us) = (median(bare_turns), median(path_turns));
        Ok(print(&Report { bare_us, path_us, ratio: path_us / bare_us })?)
    }
}

/// Microseconds that one takes.
fn turn<T>(mut one: impl FnMut() -> T) -> f64 {
    let begin = Instant::now();
    for _ in 0..TURN {
        black_box(one());
    }
    begin.elapsed().as_secs_f64() * 1e6 / f64::from(TURN)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A server, an install, and a heartbeat of it.
struct Server {
    keyring: Keyring,
    key: SigningKey,
    profile: Profile,
    install: InstallId,
    license: LicenseId,
    product: ProductCode,
    bound: Fingerprint,
    fpd: String,
    sealed_secrets: Vec<u8>,
    window: [u8; 32],
    nonces: Vec<u8>,
    proof: HeaderValue,
    body: Bytes,
}

impl Server {
    fn new(random: &dyn Random) -> Self {
        let (install, license) = (InstallId::new(0, array(random)), LicenseId::new(0, array(random)));
        let product: ProductCode = "bench".parse().expect("a product code");
        let secret = Secret::random(random);
        let (keyring, sealed_secrets) = sealed(install, &secret, random);
        let machine = Machine::random(&product, random);
        let fingerprint = machine.fingerprint();
        let (bound, fpd) = (fingerprint.as_policy().clone(), fingerprint.fpd());
        let body = machine.body(NOW, 0);

        let (mut replay, mut attempts) = (ReplayState::default(), 1..);
        let mut attempt = || Counter::new(attempts.next().unwrap_or(1)).expect("counting doesn't reach 2^53");
        let nonce = || Nonce::from_bytes(&array::<16>(random)).expect("16 bytes are enough");
        for _ in 0..REMEMBERED {
            replay.accept(attempt(), &nonce(), NOW - 300);
        }
        let header = ProofHeader::unsigned(install, license, attempt(), nonce());
        let header = header.sign(&secret, &Operation::Heartbeat, NOW, &body);
        Self {
            keyring,
            key: SigningKey::from_seed(&array(random)),
            profile: Profile::default(),
            install,
            license,
            product,
            bound,
            fpd,
            sealed_secrets,
            window: replay.window_bytes(),
            nonces: replay.nonce_bytes().to_vec(),
            proof: HeaderValue::try_from(header.to_string()).expect("a proof is ASCII"),
            body,
        }
    }

    /// A heartbeat from its proof to its token.
    fn path(&self) -> String {
        let header = ProofHeader::parse(self.proof.as_bytes()).expect("it is a proof");
        let opened =
            self.keyring.open(place(self.install), &self.sealed_secrets).expect("it was sealed here");
        let mut secrets = Secrets::from_bytes(&opened).expect("they were written so");
        let digest = Sha256::digest(&self.body).into();
        let secret =
            secrets.verify(&header, &Operation::Heartbeat, &digest, NOW).expect("it was signed so").clone();
        let body = json::parse(&self.body).expect("it is JSON");
        let heartbeat = HeartbeatRequest::read(&body).expect("it is a heartbeat");
        let mut replay =
            ReplayState::from_bytes(REMEMBERED, self.window, &self.nonces).expect("they were written so");
        assert_eq!(replay.classify(header.counter, &header.nonce, NOW), Arrival::Fresh);
        Rate::default().admit(INSTALL_QUOTA, NOW * 1000).expect("it is the first");
        replay.accept(header.counter, &header.nonce, NOW);
        secrets.used(&secret);
        self.judge(&header, &heartbeat, &replay)
    }

    fn judge(&self, header: &ProofHeader, heartbeat: &HeartbeatRequest, replay: &ReplayState) -> String {
        let facts = Facts {
            license_start: NOW - 86_400,
            license_end: Some(NOW + 86_400),
            bound: self.bound.clone(),
            observed: heartbeat.fingerprint.as_policy().clone(),
            last_contact: NOW,
            clock_skew: Some(heartbeat.clock.unix - NOW),
            agent_version: Some(heartbeat.agent.version.clone()),
            ..Facts::default()
        };
        let decision = evaluate(&facts, &self.profile, NOW);
        let claims = DecisionClaims {
            iss: "https://licenses.example.com".to_owned(),
            sub: self.install,
            aud: self.product.clone(),
            lic: self.license,
            pro: ProfileClaim { id: ProfileId::new(0, [0; 10]), version: 1 },
            ent: RawValue::from_string("{}".to_owned()).expect("it is JSON"),
            iat: NOW,
            nbf: NOW,
            exp: NOW + decision.token_ttl,
            jti: TokenId::new(NOW, array(&OsRandom)),
            nonce: header.nonce,
            ctr: header.counter.value(),
            high: replay.high(),
            state: decision.state,
            rule: decision.rule,
            reason: decision.reason,
            nhb: decision.next_heartbeat,
            ladder: ladder(&facts, &self.profile, NOW),
            fpd: self.fpd.clone(),
            ksv: 1,
        };
        token::sign(&claims, &self.key).0
    }
}

fn place(install: InstallId) -> Place<'static> {
    Place { table: "installs", column: "secrets", row: *install.as_uuid().as_bytes() }
}

/// A keyring, and a secret that it has sealed.
fn sealed(install: InstallId, secret: &Secret, random: &dyn Random) -> (Keyring, Vec<u8>) {
    let mut builder = Builder::default();
    for purpose in [Purpose::DataKey, Purpose::LookupKey] {
        builder.insert(Context { purpose, version: 1 }, Zeroizing::new(array(random)), true);
    }
    let keyring = builder.build().expect("each purpose has its key");
    keyring.grant(1);
    let secrets = Secrets::fresh(secret.clone()).to_bytes();
    let sealed = keyring.seal(place(install), &secrets, random).expect("one seal was granted");
    (keyring, sealed)
}

/// The cryptography that no server can do without.
struct Bare<'a> {
    secret: [u8; 32],
    message: String,
    cipher: Aes256Gcm,
    nonce: [u8; 12],
    sealed: Vec<u8>,
    tag: aes_gcm::Tag,
    key: &'a SigningKey,
    signing_input: &'a [u8],
}

impl<'a> Bare<'a> {
    fn new(server: &'a Server, signing_input: &'a [u8]) -> Self {
        let header = ProofHeader::parse(server.proof.as_bytes()).expect("it is a proof");
        let digest = Sha256::digest(&server.body).into();
        let (secret, nonce): ([u8; 32], [u8; 12]) = (array(&OsRandom), array(&OsRandom));
        let cipher = Aes256Gcm::new(&array::<32>(&OsRandom).into());
        // A secret and the byte beside it.
        let mut sealed = vec![7; 33];
        let tag = cipher.encrypt_inout_detached(&nonce.into(), &[], sealed.as_mut_slice().into());
        Self {
            secret,
            message: header.message(&Operation::Heartbeat, protocol::proof::bucket(NOW), &digest),
            cipher,
            nonce,
            sealed,
            tag: tag.expect("33 bytes are not too many"),
            key: &server.key,
            signing_input,
        }
    }

    fn run(&self) -> ([u8; 32], [u8; 33], [u8; 64]) {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        mac.update(self.message.as_bytes());
        let mut opened: [u8; 33] = self.sealed.as_slice().try_into().expect("33 bytes were sealed");
        let buffer = opened.as_mut_slice().into();
        let verified = self.cipher.decrypt_inout_detached(&self.nonce.into(), &[], buffer, &self.tag);
        verified.expect("it was sealed so");
        (mac.finalize().into_bytes().into(), opened, self.key.sign(self.signing_input))
    }
}
