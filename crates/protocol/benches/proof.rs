//! What a request costs before it is judged, beside the bare HMAC over as many bytes, and what its answer's claims
//! cost before they are signed.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails says where")]

use divan::{Bencher, black_box};
use hmac::{Hmac, KeyInit, Mac};
use protocol::{
    Secret,
    claims::DecisionClaims,
    json,
    proof::{self, Operation, ProofHeader},
    request::HeartbeatRequest,
    secrets::Secrets,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

const NOW: i64 = 1_790_000_123;

fn main() {
    divan::main();
}

struct Example {
    secret: Secret,
    authorization: String,
    header: ProofHeader,
    body: String,
    digest: [u8; 32],
    claims: DecisionClaims,
}

fn example() -> Example {
    let vectors: Value = serde_json::from_str(include_str!("../tests/vectors.json")).unwrap();
    let text = |pointer: &str| vectors.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
    let authorization = text("/proofs/0/authorization");
    let body = text("/proofs/0/body");
    Example {
        secret: text("/install_secret").parse().unwrap(),
        header: ProofHeader::parse(authorization.as_bytes()).unwrap(),
        digest: Sha256::digest(&body).into(),
        claims: serde_json::from_value(vectors["token"]["claims"].clone()).unwrap(),
        authorization,
        body,
    }
}

/// What can't be saved: the HMAC over the finished message, and the digest of the body.
#[divan::bench]
fn bare_hmac_and_digest(bencher: Bencher<'_, '_>) {
    let example = example();
    let message = example.header.message(&Operation::Heartbeat, proof::bucket(NOW), &example.digest);
    bencher.bench_local(|| {
        let digest = Sha256::digest(black_box(example.body.as_bytes()));
        let mut mac = Hmac::<Sha256>::new_from_slice(example.secret.as_bytes()).unwrap();
        mac.update(black_box(message.as_bytes()));
        (digest, mac.finalize().into_bytes())
    });
}

/// From the header's text to its verified proof.
#[divan::bench]
fn verify_proof(bencher: Bencher<'_, '_>) {
    let example = example();
    let secrets = Secrets::fresh(example.secret.clone());
    bencher.bench_local(|| {
        let header = ProofHeader::parse(black_box(example.authorization.as_bytes())).unwrap();
        let digest = Sha256::digest(black_box(example.body.as_bytes())).into();
        assert!(secrets.verify(&header, &Operation::Heartbeat, &digest, NOW).is_some());
    });
}

#[divan::bench]
fn sign_proof(bencher: Bencher<'_, '_>) {
    let example = example();
    bencher.bench_local(|| {
        let body = black_box(example.body.as_bytes());
        example.header.sign(&example.secret, &Operation::Heartbeat, NOW, body).to_string()
    });
}

#[divan::bench]
fn read_heartbeat(bencher: Bencher<'_, '_>) {
    let example = example();
    bencher.bench_local(|| {
        let document = json::parse(black_box(example.body.as_bytes())).unwrap();
        HeartbeatRequest::read(&document).unwrap()
    });
}

#[divan::bench]
fn write_claims(bencher: Bencher<'_, '_>) {
    let example = example();
    bencher.bench_local(|| serde_json::to_string(black_box(&example.claims)).unwrap());
}
