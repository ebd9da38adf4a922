//! The published examples of `docs/protocol.md`, each computed and read here.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::str::FromStr;

use jose_jwt::{Jwk, PublicKey, SigningKey, base64url, jws};
use protocol::{
    Counter, Fingerprint, InstallId, LeaseId, LicenseId, LicenseKey, Nonce, ProductCode, Secret,
    claims::{Claims, KeysetClaims, LeaseClaims, VerifiedDecision, VerifiedLease},
    fingerprint, json,
    keyset::{self, Keyset},
    lease,
    offline::{KeyDigest, OfflineRequest, PresentedRequest},
    proof::{self, Operation, ProofHeader},
    request::{HeartbeatRequest, LeaseRequest},
    token::{self, Expect},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}"))
}

fn parsed<T: FromStr<Err: std::fmt::Debug>>(value: &Value, pointer: &str) -> T {
    text(value, pointer).parse().unwrap()
}

fn key(value: &Value, name: &str) -> SigningKey {
    let seed = base64url::decode_array(text(value, &format!("/keys/{name}/seed"))).unwrap();
    SigningKey::from_seed(&seed)
}

fn root(value: &Value) -> PublicKey {
    key(value, "root").public().clone()
}

fn keyset(value: &Value) -> Keyset {
    Keyset::verify(text(value, "/keyset/jws"), &root(value), text(value, "/keyset/claims/iss")).unwrap()
}

#[test]
fn fingerprints_are_digested_as_published() {
    let vectors = vectors();
    let product: ProductCode = parsed(&vectors, "/product");
    let raw = vectors["fingerprint"]["raw"].as_object().unwrap();
    let components = raw.iter().map(|(name, raw)| {
        let value = fingerprint::digest(&product, name, raw.as_str().unwrap());
        assert_eq!(value, text(&vectors, &format!("/fingerprint/components/{name}")));
        (name.clone(), value)
    });
    let fingerprint = Fingerprint::new(components).unwrap();
    assert_eq!(fingerprint.fpd(), text(&vectors, "/fingerprint/fpd"));
    assert_eq!(Fingerprint::parse_lines(&fingerprint.lines()), Ok(fingerprint.clone()));
    let again: Fingerprint = serde_json::from_value(vectors["fingerprint"]["components"].clone()).unwrap();
    assert_eq!(again, fingerprint);
}

#[test]
fn license_keys_are_read_and_refused_as_published() {
    let vectors = vectors();
    let key = LicenseKey::parse(text(&vectors, "/license_key/printed")).unwrap();
    assert_eq!(key.canonical(), text(&vectors, "/license_key/canonical"));
    assert_eq!(*key.printed(), text(&vectors, "/license_key/printed"));
    for same in vectors["license_key"]["accepted_as_the_same"].as_array().unwrap() {
        assert_eq!(LicenseKey::parse(same.as_str().unwrap()), Ok(key.clone()), "{same}");
    }
    for other in vectors["license_key"]["refused"].as_array().unwrap() {
        assert!(LicenseKey::parse(other.as_str().unwrap()).is_err(), "{other}");
    }
}

#[test]
fn proofs_are_made_and_verified_as_published() {
    let vectors = vectors();
    let secret: Secret = parsed(&vectors, "/install_secret");
    let (install, license): (InstallId, LicenseId) =
        (parsed(&vectors, "/install_id"), parsed(&vectors, "/license_id"));
    let now = vectors["now"].as_i64().unwrap();
    assert_eq!(proof::bucket(now), vectors["bucket"].as_i64().unwrap());
    let proofs = vectors["proofs"].as_array().unwrap();
    assert_eq!(proofs.len(), 5);
    for example in proofs {
        let operation = match text(example, "/operation") {
            "heartbeat" => Operation::Heartbeat,
            "lease" => Operation::Lease,
            "lease-return" => Operation::LeaseReturn(parsed(&vectors, "/lease_id")),
            "rekey" => Operation::Rekey,
            "deactivate" => Operation::Deactivate,
            other => panic!("{other}"),
        };
        let body = text(example, "/body").as_bytes();
        let digest = Sha256::digest(body).into();
        let read = ProofHeader::parse(text(example, "/authorization").as_bytes()).unwrap();
        assert_eq!(read.message(&operation, proof::bucket(now), &digest), text(example, "/message"));
        assert!(read.verify(&secret, &operation, &digest, now));

        let counter = Counter::new(example["counter"].as_u64().unwrap()).unwrap();
        let made =
            ProofHeader::unsigned(install, license, counter, read.nonce).sign(&secret, &operation, now, body);
        assert_eq!(made.to_string(), text(example, "/authorization"));
        assert!(made.to_string().ends_with(text(example, "/proof")));
    }
}

#[test]
fn bodies_are_read_as_published() {
    let vectors = vectors();
    let beat =
        HeartbeatRequest::read(&json::parse(text(&vectors, "/proofs/0/body").as_bytes()).unwrap()).unwrap();
    assert_eq!(beat.fingerprint.fpd(), text(&vectors, "/fingerprint/fpd"));
    assert_eq!((beat.clock.unix, beat.clock.monotonic_ms), (1_790_000_123, 86_400_123));
    assert_eq!((&*beat.agent.version, &*beat.agent.platform), ("1.4.2", "linux-x86_64"));
    let ours: Value = serde_json::to_value(&beat).unwrap();
    assert_eq!(ours, serde_json::from_str::<Value>(text(&vectors, "/proofs/0/body")).unwrap());

    let lease =
        LeaseRequest::read(&json::parse(text(&vectors, "/proofs/1/body").as_bytes()).unwrap()).unwrap();
    assert_eq!((&lease.heartbeat, lease.duration_seconds), (&beat, 604_800));
    let ours: Value = serde_json::to_value(&lease).unwrap();
    assert_eq!(ours, serde_json::from_str::<Value>(text(&vectors, "/proofs/1/body")).unwrap());
}

#[test]
fn keys_have_the_published_names() {
    let vectors = vectors();
    for name in ["root", "token", "lease"] {
        let published: Jwk = serde_json::from_value(vectors["keys"][name]["jwk"].clone()).unwrap();
        assert_eq!(published.public_key(), key(&vectors, name).public());
    }
}

#[test]
fn decisions_are_signed_and_verified_as_published() {
    let vectors = vectors();
    let published = text(&vectors, "/token/jws");
    let product = parsed(&vectors, "/product");
    let expect = Expect {
        iss: "https://license.example.com",
        aud: &product,
        sub: parsed(&vectors, "/install_id"),
        now: vectors["now"].as_i64(),
        request: Some((parsed::<Nonce>(&vectors, "/token/claims/nonce"), 7)),
        newest: vectors["now"].as_i64(),
    };
    let claims: VerifiedDecision = token::verify_decision(published, &keyset(&vectors), &expect).unwrap();
    assert_eq!(token::sign(&claims, &key(&vectors, "token")).as_str(), published);
}

#[test]
fn keysets_are_signed_and_verified_as_published() {
    let vectors = vectors();
    let published = text(&vectors, "/keyset/jws");
    let keyset = keyset(&vectors);
    assert_eq!(keyset::sign(keyset.claims(), &key(&vectors, "root")), published);
    let claims: KeysetClaims = serde_json::from_value(vectors["keyset"]["claims"].clone()).unwrap();
    assert_eq!(*keyset.claims(), claims);
}

#[test]
fn leases_are_opened_sealed_and_verified_as_published() {
    let vectors = vectors();
    let (secret, id): (Secret, LeaseId) =
        (parsed(&vectors, "/install_secret"), parsed(&vectors, "/lease_id"));
    let published = text(&vectors, "/lease/artifact");
    assert_eq!(base64url::encode(&*lease::content_key(&secret, id)), text(&vectors, "/lease/content_key"));
    let signed = lease::open(published, &secret, id).unwrap();
    assert_eq!(signed.as_str(), text(&vectors, "/lease/jws"));
    let iv = base64url::decode_array(text(&vectors, "/lease/iv")).unwrap();
    assert_eq!(lease::seal(&signed, &secret, id, iv).as_str(), published);

    let product = parsed(&vectors, "/product");
    let expect = Expect {
        iss: "https://license.example.com",
        aud: &product,
        sub: parsed(&vectors, "/install_id"),
        now: vectors["now"].as_i64(),
        request: Some((parsed(&vectors, "/token/claims/nonce"), 8)),
        newest: None,
    };
    let claims: VerifiedLease = token::verify_lease(signed.as_str(), &keyset(&vectors), &expect).unwrap();
    assert_eq!(serde_json::to_value(&claims).unwrap(), vectors["lease"]["claims"]);
    // The example orders the components as the machine named them; signed is the text as it stands.
    let ours = token::sign(&claims, &key(&vectors, "lease"));
    let ours = jws::Compact::parse(ours.as_str()).unwrap();
    assert_eq!(ours.typ(), <LeaseClaims>::TYP);
    let payload = ours.verify(key(&vectors, "lease").public()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(payload).unwrap(), vectors["lease"]["claims"]);
}

#[test]
fn offline_requests_are_written_and_read_as_published() {
    let vectors = vectors();
    let key = LicenseKey::parse(text(&vectors, "/license_key/printed")).unwrap();
    assert_eq!(KeyDigest::of(&key), parsed(&vectors, "/offline_request/request/key_digest"));

    let published = vectors["offline_request"]["request"].to_string();
    let presented = PresentedRequest::read(&json::parse(published.as_bytes()).unwrap()).unwrap();
    assert!(presented.is_made_with(&key));
    let request: &OfflineRequest = presented.request();
    assert_eq!((request.iat, request.duration_seconds), (1_790_000_123, 604_800));
    assert_eq!(request.fingerprint.fpd(), text(&vectors, "/fingerprint/fpd"));

    let ours: Value = serde_json::from_str(&request.sign(&key)).unwrap();
    assert_eq!(ours, vectors["offline_request"]["request"]);
    let mut unsigned = ours;
    unsigned.as_object_mut().unwrap().remove("mac");
    let canonical = json::parse(unsigned.to_string().as_bytes()).unwrap().canonical();
    assert_eq!(canonical.unwrap(), text(&vectors, "/offline_request/canonical"));
}

#[test]
fn no_member_of_the_examples_is_left_out_here() {
    let used = [
        "about",
        "bucket",
        "fingerprint",
        "install_id",
        "install_secret",
        "keys",
        "keyset",
        "lease",
        "lease_id",
        "license_id",
        "license_key",
        "now",
        "offline_request",
        "product",
        "proofs",
        "token",
    ];
    let vectors = vectors();
    let mut members: Vec<_> = vectors.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, used);
}
