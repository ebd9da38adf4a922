//! The examples of the RFCs, as far as they are about what this crate does.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use jose_jwt::{Error, Jwk, PublicKey, SigningKey, base64url, jws};

/// RFC 8037 appendix A.1.
const D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
/// RFC 8037 appendix A.2.
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
/// RFC 8037 appendix A.3.
const THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
/// RFC 8037 appendix A.4.
const SIGNING_INPUT: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
const SIGNATURE: &str =
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

fn key() -> SigningKey {
    SigningKey::from_seed(&base64url::decode_array(D).unwrap())
}

#[test]
fn rfc_8037_private_key_has_its_public_half_and_thumbprint() {
    assert_eq!(key().public().to_string(), X);
    assert_eq!(key().kid(), THUMBPRINT);
    assert_eq!(Jwk::from(key().public().clone()).thumbprint(), THUMBPRINT);
    assert_eq!(*key().seed(), base64url::decode_array(D).unwrap());
}

#[test]
fn rfc_8037_signature_is_made_and_verified() {
    let signature = base64url::decode_array(SIGNATURE).unwrap();
    assert_eq!(key().sign(SIGNING_INPUT.as_bytes()), signature);

    let public: PublicKey = X.parse().unwrap();
    assert_eq!(public.verify(SIGNING_INPUT.as_bytes(), &signature), Ok(()));
    assert_eq!(public.verify(&SIGNING_INPUT.as_bytes()[1..], &signature), Err(Error::Signature));
}

/// That JWS names neither its type nor its key, which the protocol wants of every one.
#[test]
fn rfc_8037_jws_without_typ_and_kid_is_refused() {
    let text = format!("{SIGNING_INPUT}.{SIGNATURE}");
    assert_eq!(jws::Compact::parse(&text).err(), Some(Error::Header));
}

/// RFC 7515 appendix A.1 (HS256) and A.5 (unsecured).
#[test]
fn rfc_7515_other_algorithms_are_refused() {
    for text in [
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
    ] {
        assert_eq!(jws::Compact::parse(text).err(), Some(Error::Algorithm));
    }
}

/// RFC 7515 appendix C.
#[test]
fn rfc_7515_base64url_example() {
    assert_eq!(base64url::encode(&[3, 236, 255, 224, 193]), "A-z_4ME");
    assert_eq!(base64url::decode("A-z_4ME"), Ok(vec![3, 236, 255, 224, 193]));
}

/// RFC 4648 section 10, without the padding.
#[test]
fn rfc_4648_examples() {
    for (bytes, text) in [
        ("", ""),
        ("f", "Zg"),
        ("fo", "Zm8"),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg"),
        ("fooba", "Zm9vYmE"),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(base64url::encode(bytes.as_bytes()), text);
        assert_eq!(base64url::decode(text), Ok(bytes.as_bytes().to_vec()));
    }
}
