//! Exchange with `jsonwebtoken`, an independent implementation of JWS, in both directions.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use jose_jwt::{SigningKey, jws};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn decoding_key(key: &SigningKey) -> DecodingKey {
    DecodingKey::from_ed_components(&key.public().to_string()).unwrap()
}

/// Only the signature and the algorithm are of interest here.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation
}

#[test]
fn it_verifies_what_is_signed_here() {
    let claims = json!({ "sub": "somebody", "n": 7 });
    let token = jws::sign("example+jwt", claims.to_string().as_bytes(), &key());

    let read = decode::<Value>(&token, &decoding_key(&key()), &validation()).unwrap();
    assert_eq!(read.claims, claims);
    assert_eq!(read.header.typ.as_deref(), Some("example+jwt"));
    assert_eq!(read.header.kid.as_deref(), Some(key().kid()));

    let other = SigningKey::from_seed(&[8; 32]);
    assert!(decode::<Value>(&token, &decoding_key(&other), &validation()).is_err());
}

#[test]
fn what_it_signs_is_verified_here() {
    // RFC 8410 section 7: the fixed start of a PKCS #8 Ed25519 key, before its seed.
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend(*key().seed());
    let header = Header {
        typ: Some("example+jwt".into()),
        kid: Some(key().kid().into()),
        ..Header::new(Algorithm::EdDSA)
    };
    let claims = json!({ "sub": "somebody" });
    let token = encode(&header, &claims, &EncodingKey::from_ed_der(&der)).unwrap();

    let token = jws::Compact::parse(&token).unwrap();
    assert_eq!((token.typ(), token.kid()), ("example+jwt", key().kid()));
    assert_eq!(serde_json::from_slice::<Value>(token.verify(key().public()).unwrap()).unwrap(), claims);
}

/// The equation of RFC 8032 holds for this signature, so that what refuses it in `tests/strict.rs` is the
/// strictness and nothing else.
#[test]
fn a_laxer_verifier_takes_the_signature_with_the_low_order_r() {
    let token = include_str!("low_order_r.jws").trim_end();
    assert!(decode::<Value>(token, &decoding_key(&key()), &validation()).is_ok());
}
