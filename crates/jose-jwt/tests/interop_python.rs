//! Exchange with `joserfc` (Python), an independent implementation of JWS and JWE, in both directions.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use jose_jwt::{Jwk, SigningKey, base64url, jwe, jws, x25519::SecretKey};
use serde_json::{Value, json};

const CEK: [u8; 32] = [9; 32];

/// Has `tests/interop/joserfc_exchange.py` answer one JSON object by another.
fn exchange(ours: &Value) -> Value {
    let python = std::env::var_os("QT_PYTHON").expect(
        "QT_PYTHON names no Python interpreter that has tests/interop/requirements.txt: run this by `cargo xtask test`, which makes one",
    );
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/joserfc_exchange.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(ours.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the script failed, see its standard error");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn joserfc_reads_what_is_made_here_and_the_other_way_round() {
    let key = SigningKey::from_seed(&[7; 32]);
    let (recipient, ephemeral) = (SecretKey::from_bytes(&[3; 32]), SecretKey::from_bytes(&[4; 32]));
    let theirs = exchange(&json!({
        "jwk": Jwk::from(key.public().clone()),
        "seed": base64url::encode(&*key.seed()),
        "content_key": base64url::encode(&CEK),
        "jws": jws::sign("example+jwt", "from Rust ü".as_bytes(), &key),
        "jwe": jwe::encrypt_dir("example+jwe", "some-lease", &CEK, [1; 12], "from Rust ü".as_bytes()),
        "recipient": recipient.public(),
        "recipient_d": base64url::encode(&*recipient.to_bytes()),
        "agreed_jwe": jwe::encrypt_ecdh_es(
            "example+jwe", &recipient.public(), &ephemeral, [1; 12], "from Rust ü".as_bytes()
        ),
    }));

    assert_eq!(theirs["thumbprint"], key.kid());
    assert_eq!(
        theirs["read_jws"],
        json!({ "header": { "alg": "EdDSA", "typ": "example+jwt", "kid": key.kid() }, "payload": "from Rust ü" })
    );
    assert_eq!(
        theirs["read_jwe"],
        json!({
            "header": { "alg": "dir", "enc": "A256GCM", "typ": "example+jwe", "kid": "some-lease" },
            "payload": "from Rust ü",
        })
    );

    assert_eq!(
        theirs["read_agreed_jwe"],
        json!({
            "header": { "alg": "ECDH-ES", "enc": "A256GCM", "typ": "example+jwe", "epk": ephemeral.public() },
            "payload": "from Rust ü",
        })
    );

    let signed = jws::Compact::parse(theirs["jws"].as_str().unwrap()).unwrap();
    assert_eq!((signed.typ(), signed.kid()), ("example+jwt", key.kid()));
    assert_eq!(signed.verify(key.public()).unwrap(), "from Python ü".as_bytes());

    let (kid, opened) = jwe::decrypt_dir(theirs["jwe"].as_str().unwrap(), &CEK, "example+jwe").unwrap();
    assert_eq!((kid.as_str(), opened.as_slice()), ("some-lease", "from Python ü".as_bytes()));

    let agreed = theirs["agreed_jwe"].as_str().unwrap();
    let opened = jwe::decrypt_ecdh_es(agreed, &recipient, "example+jwe").unwrap();
    assert_eq!(opened.as_slice(), "from Python ü".as_bytes());
}
