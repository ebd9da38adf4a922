//! Nothing that was changed is accepted, and nothing makes a reader panic.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use jose_jwt::{Jwk, PublicKey, SigningKey, base64url, jwe, jws, x25519::SecretKey};
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed},
};

const CEK: [u8; 32] = [9; 32];
const PAYLOAD: &[u8] = br#"{"sub":"somebody"}"#;

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn good_jws() -> String {
    jws::sign("t", PAYLOAD, &key())
}

fn good_jwe() -> String {
    jwe::encrypt_dir("t", "k", &CEK, [1; 12], PAYLOAD)
}

fn recipient() -> SecretKey {
    SecretKey::from_bytes(&[3; 32])
}

fn good_agreed_jwe() -> String {
    jwe::encrypt_ecdh_es("t", &recipient().public(), &SecretKey::from_bytes(&[4; 32]), [1; 12], PAYLOAD)
}

fn accepts_jws(text: &str, key: &PublicKey) -> bool {
    jws::Compact::parse(text).is_ok_and(|token| token.verify(key).is_ok())
}

fn accepts_jwe(text: &str) -> bool {
    jwe::decrypt_dir(text, &CEK, "t").is_ok()
}

fn accepts_agreed_jwe(text: &str) -> bool {
    jwe::decrypt_ecdh_es(text, &recipient(), "t").is_ok()
}

/// The text with each bit of its characters flipped, as far as that is text again.
fn with_flipped_characters(text: &str) -> impl Iterator<Item = String> {
    (0..text.len() * 8).filter_map(|bit| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        String::from_utf8(bytes).ok()
    })
}

/// The text with each bit of what its parts encode flipped, encoded again.
fn with_flipped_content(text: &str) -> impl Iterator<Item = String> {
    let parts: Vec<_> = text.split('.').map(|part| base64url::decode(part).unwrap()).collect();
    let places: Vec<_> =
        parts.iter().enumerate().flat_map(|(i, part)| (0..part.len() * 8).map(move |bit| (i, bit))).collect();
    places.into_iter().map(move |(i, bit)| {
        let mut parts = parts.clone();
        parts[i][bit / 8] ^= 1 << (bit % 8);
        parts.iter().map(|part| base64url::encode(part)).collect::<Vec<_>>().join(".")
    })
}

#[test]
fn every_flipped_bit_of_a_jws_is_refused() {
    let (good, key) = (good_jws(), key());
    assert!(accepts_jws(&good, key.public()));
    for bad in with_flipped_characters(&good).chain(with_flipped_content(&good)) {
        assert!(!accepts_jws(&bad, key.public()), "{bad}");
    }
}

#[test]
fn every_flipped_bit_of_a_jwe_is_refused() {
    let good = good_jwe();
    assert!(accepts_jwe(&good));
    for bad in with_flipped_characters(&good).chain(with_flipped_content(&good)) {
        assert!(!accepts_jwe(&bad), "{bad}");
    }
}

#[test]
fn every_flipped_bit_of_a_jwe_to_a_public_key_is_refused() {
    let good = good_agreed_jwe();
    assert!(accepts_agreed_jwe(&good));
    for bad in with_flipped_characters(&good).chain(with_flipped_content(&good)) {
        assert!(!accepts_agreed_jwe(&bad), "{bad}");
    }
}

#[test]
fn every_flipped_bit_of_a_content_key_is_refused() {
    let good = good_jwe();
    for bit in 0..256 {
        let mut cek = CEK;
        cek[bit / 8] ^= 1 << (bit % 8);
        assert!(jwe::decrypt_dir(&good, &cek, "t").is_err(), "bit {bit}");
    }
}

#[test]
fn deeply_nested_headers_are_no_danger() {
    let nested = format!(
        r#"{{"alg":"EdDSA","typ":"t","kid":"k","x":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let token = format!("{}.e30.{}", base64url::encode(nested.as_bytes()), base64url::encode(&[0; 64]));
    assert!(!accepts_jws(&token, key().public()));
}

/// Text that gets further than noise does: parts of headers, of base64url and of JSON.
fn almost() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(".".to_owned()),
        Just(base64url::encode(br#"{"alg":"EdDSA","typ":"t","kid":"k"}"#)),
        Just(base64url::encode(br#"{"alg":"dir","enc":"A256GCM","typ":"t","kid":"k"}"#)),
        Just(good_agreed_jwe().split('.').next().unwrap().to_owned()),
        Just(base64url::encode(&[0; 64])),
        Just(base64url::encode(&[0; 12])),
        Just(base64url::encode(&[0; 16])),
        Just(r#"{"kty":"OKP","crv":"Ed25519","use":"sig","#.to_owned()),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| base64url::encode(&bytes)),
        "[A-Za-z0-9_.=\"{}:,-]{0,20}",
    ];
    proptest::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

/// A good text, some characters of which were put in, taken out or replaced.
fn mutated(good: String) -> impl Strategy<Value = String> {
    let edit = (any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), "[A-Za-z0-9_.=+-]{0,3}");
    proptest::collection::vec(edit, 1..4).prop_map(move |edits| {
        edits.into_iter().fold(good.clone(), |mut text, (from, length, new)| {
            let from = from.index(text.len());
            let to = (from + length.index(4)).min(text.len());
            text.replace_range(from..to, &new);
            text.push_str(if text.is_empty() { "A" } else { "" });
            text
        })
    })
}

proptest! {
    #![proptest_config(Config { cases: 2048, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_text_makes_a_reader_panic(text in prop_oneof![any::<String>(), almost()]) {
        prop_assert!(!accepts_jws(&text, key().public()));
        prop_assert!(!accepts_jwe(&text) && !accepts_agreed_jwe(&text));
        prop_assert!(Jwk::parse(&text).is_err());
        if let Ok(bytes) = base64url::decode(&text) {
            prop_assert_eq!(base64url::encode(&bytes), text);
        }
    }

    #[test]
    fn no_32_bytes_make_a_reader_panic(bytes: [u8; 32], message: Vec<u8>, signature in any::<[[u8; 32]; 2]>()) {
        if let Ok(key) = PublicKey::from_bytes(&bytes) {
            prop_assert_eq!(key.as_bytes(), &bytes);
            let signature = signature.concat().try_into().expect("twice 32 bytes");
            prop_assert!(key.verify(&message, &signature).is_err());
        }
    }

    #[test]
    fn a_mutated_jws_is_refused(text in mutated(good_jws())) {
        prop_assert_eq!(accepts_jws(&text, key().public()), text == good_jws());
    }

    #[test]
    fn a_mutated_jwe_is_refused(text in mutated(good_jwe())) {
        prop_assert_eq!(accepts_jwe(&text), text == good_jwe());
    }

    #[test]
    fn a_mutated_jwe_to_a_public_key_is_refused(text in mutated(good_agreed_jwe())) {
        prop_assert_eq!(accepts_agreed_jwe(&text), text == good_agreed_jwe());
    }

    #[test]
    fn any_payload_comes_back(typ: String, kid: String, iv: [u8; 12], payload: Vec<u8>) {
        let token = jws::sign(&typ, &payload, &key());
        let token = jws::Compact::parse(&token).unwrap();
        prop_assert_eq!(token.typ(), &typ);
        prop_assert_eq!(token.verify(key().public()).unwrap(), &payload);

        let sealed = jwe::encrypt_dir(&typ, &kid, &CEK, iv, &payload);
        let (named, opened) = jwe::decrypt_dir(&sealed, &CEK, &typ).unwrap();
        prop_assert_eq!((named, opened.to_vec()), (kid, payload.clone()));

        let (to, ephemeral) = (recipient(), SecretKey::from_bytes(&[4; 32]));
        let sealed = jwe::encrypt_ecdh_es(&typ, &to.public(), &ephemeral, iv, &payload);
        prop_assert_eq!(jwe::decrypt_ecdh_es(&sealed, &to, &typ).unwrap().to_vec(), payload);
    }
}
