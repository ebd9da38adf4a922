//! The examples of docs/protocol.md, in both directions: what is read verifies and opens, and signing and sealing

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
//! the same again gives the same text.

use jose_jwt::{Jwk, SigningKey, base64url, jwe, jws};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn signing_key(vectors: &Value, name: &str) -> SigningKey {
    SigningKey::from_seed(&base64url::decode_array(text(&vectors["keys"][name]["seed"])).unwrap())
}

#[test]
fn keys_have_the_jwk_of_the_example() {
    let vectors = vectors();
    for name in ["root", "token", "lease"] {
        let expected = &vectors["keys"][name]["jwk"];
        let key = signing_key(&vectors, name);
        assert_eq!(serde_json::to_value(Jwk::from(key.public().clone())).unwrap(), *expected, "{name}");
        assert_eq!(Jwk::parse(&expected.to_string()).unwrap().public_key(), key.public(), "{name}");
    }
}

#[test]
fn a_jwk_is_written_in_the_order_of_the_example() {
    let key = signing_key(&vectors(), "root");
    assert_eq!(
        serde_json::to_string(&Jwk::from(key.public().clone())).unwrap(),
        r#"{"kty":"OKP","crv":"Ed25519","x":"VGiDerKp0mu0ndlgb3xwQQ6ZbSAYPK8eecp5toTEV2Y","kid":"nl07wnMkoqFPP3fDLoIfBSNsLJ5-_q2T20y9heIesSw","use":"sig"}"#
    );
}

#[test]
fn signed_texts_verify_and_are_made_again() {
    let vectors = vectors();
    for example in vectors["signed"].as_array().unwrap() {
        let key = signing_key(&vectors, text(&example["key"]));
        let (typ, jws) = (text(&example["typ"]), text(&example["jws"]));

        let parsed = jws::Compact::parse(jws).unwrap();
        assert_eq!((parsed.typ(), parsed.kid()), (typ, key.kid()));
        let payload = parsed.verify(key.public()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(payload).unwrap(), example["claims"]);

        assert_eq!(jws::sign(typ, payload, &key), jws);
        assert_eq!(jws::Signer::new(typ, key).sign(payload), jws);
    }
}

#[test]
fn sealed_text_opens_and_is_made_again() {
    let example = &vectors()["sealed"];
    let (typ, kid, plaintext) = (text(&example["typ"]), text(&example["kid"]), text(&example["plaintext"]));
    let cek = base64url::decode_array(text(&example["content_key"])).unwrap();
    let iv = base64url::decode_array(text(&example["iv"])).unwrap();

    let (named, opened) = jwe::decrypt_dir(text(&example["jwe"]), &cek, typ).unwrap();
    assert_eq!((named.as_str(), opened.as_slice()), (kid, plaintext.as_bytes()));
    assert_eq!(jwe::encrypt_dir(typ, kid, &cek, iv, plaintext.as_bytes()), text(&example["jwe"]));
}
