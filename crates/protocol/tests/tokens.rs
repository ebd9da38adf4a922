//! What a verifier refuses: of everything signed, whatever isn't exactly as it must be.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use jose_jwt::{Jwk, SigningKey, jws};
use protocol::{
    InstallId, LeaseId, Nonce, ProductCode,
    claims::{
        Claims, DecisionClaims, KeysetClaims, KeysetKey, LeaseClaims, RootClaims, Use, VerifiedDecision,
    },
    keyset::{self, Keyset},
    token::{self, Expect, TokenError},
};
use serde_json::{Value, json};

const NOW: i64 = 1_790_000_123;
const ISSUER: &str = "https://license.example.com";

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn decision() -> Value {
    vectors()["token"]["claims"].clone()
}

fn lease() -> Value {
    vectors()["lease"]["claims"].clone()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn root() -> SigningKey {
    key(1)
}

fn token_key() -> SigningKey {
    key(2)
}

fn lease_key() -> SigningKey {
    key(3)
}

fn keyset_claims() -> KeysetClaims {
    let entry = |key: SigningKey, use_for| KeysetKey { jwk: Jwk::from(key.public().clone()), use_for };
    KeysetClaims {
        iss: ISSUER.into(),
        version: 5,
        iat: NOW,
        exp: NOW + 1_000_000,
        keys: vec![entry(token_key(), Use::Token), entry(lease_key(), Use::Lease)],
    }
}

fn keyset() -> Keyset {
    Keyset::verify(&keyset::sign(&keyset_claims(), &root()), root().public(), ISSUER).unwrap()
}

fn product() -> ProductCode {
    "acme-render".parse().unwrap()
}

fn nonce() -> Nonce {
    "oKGio6SlpqeoqaqrrK2ur7CxsrO0tba3".parse().unwrap()
}

fn expect(aud: &ProductCode) -> Expect<'_> {
    let sub: InstallId = "0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50".parse().unwrap();
    Expect { iss: ISSUER, aud, sub, now: Some(NOW), request: Some((nonce(), 7)), newest: Some(NOW) }
}

fn signed(typ: &str, claims: &Value, key: &SigningKey) -> String {
    jws::sign(typ, claims.to_string().as_bytes(), key)
}

fn verify(text: &str) -> Result<VerifiedDecision, TokenError> {
    let aud = product();
    token::verify_decision(text, &keyset(), &expect(&aud))
}

#[test]
fn a_decision_is_believed_if_everything_is_as_expected() {
    let claims = verify(&signed(<DecisionClaims>::TYP, &decision(), &token_key())).unwrap();
    assert_eq!(serde_json::to_value(&claims).unwrap(), decision());
}

#[test]
fn another_key_type_or_use_is_refused() {
    let refused = |text: &str| verify(text).unwrap_err();
    assert_eq!(refused(&signed(<DecisionClaims>::TYP, &decision(), &key(9))), TokenError::UnknownKey);
    assert_eq!(refused(&signed(<DecisionClaims>::TYP, &decision(), &lease_key())), TokenError::UnknownKey);
    assert_eq!(refused(&signed(<DecisionClaims>::TYP, &decision(), &root())), TokenError::UnknownKey);
    for typ in [<LeaseClaims>::TYP, KeysetClaims::TYP, RootClaims::TYP, "JWT", ""] {
        assert_eq!(refused(&signed(typ, &decision(), &token_key())), TokenError::Type, "{typ}");
    }
}

#[test]
fn every_bit_of_a_decision_counts() {
    let text = signed(<DecisionClaims>::TYP, &decision(), &token_key());
    let keyset = keyset();
    let aud = product();
    for bit in 0..text.len() * 8 {
        let mut bytes = text.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = String::from_utf8(bytes) {
            assert!(token::verify_decision(&other, &keyset, &expect(&aud)).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn claims_of_another_server_product_install_request_or_time_are_refused() {
    let cases = [
        (
            "iss",
            json!("https://license.example.com/"),
            TokenError::Issuer("https://license.example.com/".into()),
        ),
        (
            "iss",
            json!("https://License.example.com"),
            TokenError::Issuer("https://License.example.com".into()),
        ),
        ("aud", json!("acme-other"), TokenError::Audience),
        ("sub", json!("0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f51"), TokenError::Subject),
        ("exp", json!(NOW), TokenError::Expired),
        ("nonce", json!("AAAAAAAAAAAAAAAAAAAAAA"), TokenError::OtherRequest),
        ("ctr", json!(8), TokenError::OtherRequest),
        ("iat", json!(NOW - 61), TokenError::Old),
    ];
    for (name, value, error) in cases {
        let mut claims = decision();
        claims[name] = value;
        assert_eq!(
            verify(&signed(<DecisionClaims>::TYP, &claims, &token_key())).unwrap_err(),
            error,
            "{name}"
        );
    }
    for (name, value) in [("exp", json!(NOW + 1)), ("iat", json!(NOW - 60)), ("more", json!({ "any": 1 }))] {
        let mut claims = decision();
        claims[name] = value;
        assert!(verify(&signed(<DecisionClaims>::TYP, &claims, &token_key())).is_ok(), "{name}");
    }
}

#[test]
fn what_was_verified_before_is_believed_without_regard_to_its_end() {
    let text = signed(<DecisionClaims>::TYP, &decision(), &token_key());
    let aud = product();
    let far = Some(NOW + 10_000_000);
    let at = |now| {
        token::verify_decision(&text, &keyset(), &Expect { now, request: None, newest: None, ..expect(&aud) })
    };
    assert_eq!(at(far).unwrap_err(), TokenError::KeysetExpired);
    assert!(at(None).is_ok());
}

#[test]
fn claims_are_read_strictly() {
    let cases = [
        ("iss", json!(1)),
        ("sub", json!("0192F0A1-7C3B-7D52-9E0A-5B1C2D3E4F50")),
        ("aud", json!(["acme-render"])),
        ("lic", json!(null)),
        ("pro", json!({ "id": "x", "version": 3 })),
        ("pro", json!({ "id": "0192f09f-2222-7eee-affe-00112233aabb", "version": -1 })),
        ("ent", json!([])),
        ("ent", json!("pro")),
        ("iat", json!(1.5)),
        ("iat", json!(-1)),
        ("exp", json!(1_i64 << 53)),
        ("exp", json!("1790001023")),
        ("jti", json!("")),
        ("nonce", json!("oKGio6SlpqeoqaqrrK2ur7CxsrO0tba")),
        ("ctr", json!(1_i64 << 53)),
        ("high", json!(-1)),
        ("state", json!("fine")),
        ("rule", json!(0)),
        ("rule", json!(15)),
        ("reason", json!("Because")),
        ("reason", json!("")),
        ("reason", json!("a".repeat(65))),
        ("reason", json!("\u{1b}[31m")),
        (
            "ladder",
            json!([[NOW + 2, "grace", 11, "out_of_contact"], [NOW + 1, "locked", 9, "out_of_contact"]]),
        ),
        (
            "ladder",
            json!([[NOW + 1, "grace", 11, "out_of_contact"], [NOW + 1, "locked", 9, "out_of_contact"]]),
        ),
        ("nhb", json!(1e3)),
        ("ladder", json!({})),
        ("ladder", json!([[NOW, "grace", 11]])),
        ("ladder", json!([[NOW, "grace", 11, "out_of_contact", 1]])),
        ("ksv", json!(null)),
    ];
    for (name, value) in cases {
        let mut claims = decision();
        claims[name] = value.clone();
        let refused = verify(&signed(<DecisionClaims>::TYP, &claims, &token_key()));
        assert_eq!(refused.unwrap_err(), TokenError::Claims, "{name}: {value}");
    }
    for name in decision().as_object().unwrap().keys() {
        let mut claims = decision();
        claims.as_object_mut().unwrap().remove(name);
        let refused = verify(&signed(<DecisionClaims>::TYP, &claims, &token_key()));
        assert_eq!(refused.unwrap_err(), TokenError::Claims, "without {name}");
    }
    let text = decision().to_string();
    for twice in ["\"state\":\"authorized\",", "\"\\u0073tate\":\"authorized\",", "\"x\":1,\"x\":1,"] {
        let payload = text.replacen('{', &format!("{{{twice}"), 1);
        let refused = verify(&jws::sign(<DecisionClaims>::TYP, payload.as_bytes(), &token_key()));
        assert_eq!(refused.unwrap_err(), TokenError::Claims, "{twice}");
    }
}

#[test]
fn a_reason_that_a_later_server_has_is_taken_by_its_name() {
    let mut claims = decision();
    claims["reason"] = json!("moon_phase_2");
    claims["ladder"] = json!([[NOW + 1, "grace", 11, "moon_phase_3"]]);
    let verified = verify(&signed(<DecisionClaims>::TYP, &claims, &token_key())).unwrap();
    assert_eq!(verified.reason.as_str(), "moon_phase_2");
    assert_eq!(verified.ladder[0].reason.to_string(), "moon_phase_3");
    assert_eq!(serde_json::to_value(&verified).unwrap(), claims);
}

#[test]
fn entitlements_come_through_as_they_stand() {
    let mut claims: DecisionClaims = serde_json::from_value(decision()).unwrap();
    let entitlements = r#"{"b":1.50,"a":[1e2],"ü":"\u0041"}"#;
    claims.ent = serde_json::value::RawValue::from_string(entitlements.into()).unwrap();
    let text = token::sign(&claims, &token_key());
    assert_eq!(verify(text.as_str()).unwrap().ent.get(), entitlements);
}

#[test]
fn a_lease_is_verified_by_lease_keys_and_its_own_counter() {
    let aud = product();
    let verify = |text: &str, counter| {
        let expect = Expect { request: Some((nonce(), counter)), ..expect(&aud) };
        token::verify_lease(text, &keyset(), &expect)
    };
    let text = signed(<LeaseClaims>::TYP, &lease(), &lease_key());
    let claims = verify(&text, 8).unwrap();
    assert_eq!(claims.jti, "0192f0a2-1111-7ccc-9ddd-fedcba987654".parse::<LeaseId>().unwrap());
    assert_eq!(serde_json::to_value(&claims).unwrap(), lease());
    assert_eq!(verify(&text, 7).unwrap_err(), TokenError::OtherRequest);
    let by_token_key = signed(<LeaseClaims>::TYP, &lease(), &token_key());
    assert_eq!(verify(&by_token_key, 8).unwrap_err(), TokenError::UnknownKey);
    for (name, value) in [
        ("fp", json!({})),
        ("min_match", json!(0.6005)),
        ("min_match", json!("0.6")),
        ("weights", json!({ "mac": -1 })),
        ("ladder", json!([[2, "leased", 12, "offline_lease"], [1, "grace", 11, "out_of_contact"]])),
    ] {
        let mut claims = lease();
        claims[name] = value;
        assert_eq!(
            verify(&signed(<LeaseClaims>::TYP, &claims, &lease_key()), 8).unwrap_err(),
            TokenError::Claims,
            "{name}"
        );
    }
}

#[test]
fn a_keyset_is_believed_only_under_the_trusted_root() {
    let refused = |claims: &Value, by: &SigningKey, typ: &str| {
        Keyset::verify(&signed(typ, claims, by), root().public(), ISSUER).unwrap_err()
    };
    let claims = serde_json::to_value(keyset_claims()).unwrap();
    assert_eq!(refused(&claims, &key(9), KeysetClaims::TYP), TokenError::UnknownKey);
    assert_eq!(refused(&claims, &root(), RootClaims::TYP), TokenError::Type);
    let with = |pointer: &str, value: Value| {
        let mut claims = claims.clone();
        *claims.pointer_mut(pointer).unwrap() = value;
        claims
    };
    assert_eq!(
        refused(&with("/iss", json!("http://elsewhere")), &root(), KeysetClaims::TYP),
        TokenError::Issuer("http://elsewhere".into())
    );
    for (pointer, value) in [
        ("/version", json!(-1)),
        ("/exp", json!("later")),
        ("/keys", json!({})),
        ("/keys/0/use_for", json!("root")),
        ("/keys/0/use", json!("enc")),
        ("/keys/0/kty", json!("RSA")),
        ("/keys/0/kid", claims["keys"][1]["kid"].clone()),
        ("/keys/0/x", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
    ] {
        assert_eq!(
            refused(&with(pointer, value), &root(), KeysetClaims::TYP),
            TokenError::Claims,
            "{pointer}"
        );
    }
    let keyset = keyset();
    assert_eq!((keyset.version(), keyset.claims()), (5, &keyset_claims()));
    assert!(!keyset.is_expired(NOW + 999_999) && keyset.is_expired(NOW + 1_000_000));
}

#[test]
fn a_successor_is_believed_only_from_the_root_before_it() {
    let claims = RootClaims { iss: ISSUER.into(), iat: NOW, root: Jwk::from(key(7).public().clone()) };
    let text = keyset::sign_successor(&claims, &root());
    let verify = |text: &str, root: &SigningKey, iss| keyset::verify_successor(text, root.public(), iss);
    assert_eq!(&verify(&text, &root(), ISSUER).unwrap(), key(7).public());
    assert_eq!(verify(&text, &key(7), ISSUER).unwrap_err(), TokenError::UnknownKey);
    assert_eq!(verify(&text, &root(), "http://elsewhere").unwrap_err(), TokenError::Issuer(ISSUER.into()));
    let keyset = keyset::sign(&keyset_claims(), &root());
    assert_eq!(verify(&keyset, &root(), ISSUER).unwrap_err(), TokenError::Type);
}
