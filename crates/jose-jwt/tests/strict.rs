//! What is refused although a laxer reader would take it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use jose_jwt::{Error, Jwk, PublicKey, SigningKey, base64url, jwe, jws, x25519::SecretKey};

const CEK: [u8; 32] = [9; 32];

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn from_hex(hex: &str) -> [u8; 32] {
    std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
}

/// A correctly signed JWS under any header.
fn signed_under(header: &str) -> String {
    let input = format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(b"{}"));
    let signature = base64url::encode(&key().sign(input.as_bytes()));
    format!("{input}.{signature}")
}

#[test]
fn base64url_has_one_spelling() {
    for (text, why) in [
        ("Zg==", "padding"),
        ("Zh", "stray bits in two characters"),
        ("Zm9", "stray bits in three characters"),
        ("Z", "a length that nothing has"),
        ("Zm9vY", "a length that nothing has"),
        ("-+", "the other alphabet"),
        ("Zm 9v", "white space"),
        ("Zm9v\n", "white space"),
        ("Zmüv", "a letter outside"),
    ] {
        assert_eq!(base64url::decode(text), Err(Error::Base64Url), "{why}");
    }
    assert_eq!(base64url::decode_array::<3>("Zm9v"), Ok(*b"foo"));
    assert_eq!(base64url::decode_array::<2>("Zm9v"), Err(Error::Base64Url));
    assert_eq!(base64url::decode_array::<4>("Zm9v"), Err(Error::Base64Url));
}

#[test]
fn low_order_points_are_no_keys() {
    // Every encoding of the eight of them, the non-canonical ones too ("Taming the many EdDSAs", table 6b).
    for hex in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        assert_eq!(PublicKey::from_bytes(&from_hex(hex)), Err(Error::PublicKey), "{hex}");
    }
}

#[test]
fn points_whose_y_is_not_reduced_are_no_keys() {
    // y from 2^255 - 19 (which is 0 again) to 2^255 - 1, with both signs of x.
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            assert_eq!(PublicKey::from_bytes(&bytes), Err(Error::PublicKey), "{low:x}, {high:x}");
        }
    }
}

#[test]
fn bytes_that_are_no_point_are_no_key() {
    let mut two = [0; 32];
    two[0] = 2;
    assert_eq!(PublicKey::from_bytes(&two), Err(Error::PublicKey));
    assert_eq!("Zm9v".parse::<PublicKey>(), Err(Error::Base64Url));
}

#[test]
fn a_signature_with_the_group_order_added_to_s_is_refused() {
    // RFC 8032 section 5.1: L = 2^252 + 27742317777372353535851937790883648493, little-endian.
    let order = from_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut signature = key().sign(b"message");
    assert_eq!(key().public().verify(b"message", &signature), Ok(()));

    let mut carry = 0;
    for (s, l) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*s) + u16::from(l) + carry;
        [*s, _] = sum.to_le_bytes();
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "S + L still fits");
    assert_eq!(key().public().verify(b"message", &signature), Err(Error::Signature));
}

/// R is the neutral element, S = H(R, A, M) · a. RFC 8032's equation holds, which `tests/interop_jsonwebtoken.rs` shows by
/// a laxer verifier; an honest signer never makes such a signature.
#[test]
fn a_signature_whose_r_is_of_low_order_is_refused() {
    let token = include_str!("low_order_r.jws").trim_end();
    let token = jws::Compact::parse(token).unwrap();
    assert_eq!(token.kid(), key().kid());
    assert_eq!(token.verify(key().public()), Err(Error::Signature));
}

#[test]
fn a_jws_under_another_key_is_refused() {
    let token = jws::sign("t", b"{}", &SigningKey::from_seed(&[8; 32]));
    assert_eq!(jws::Compact::parse(&token).unwrap().verify(key().public()), Err(Error::Signature));
}

#[test]
fn jws_headers_are_read_strictly() {
    for (header, expected) in [
        (r#"{"alg":"EdDSA","typ":"t","kid":"k"}"#, None),
        // Members that nobody knows are ignored, whatever they hold.
        (r#" {"x":[{"alg":1,"alg":2}],"kid":"k","typ":"t","alg":"EdDSA","y":1e999} "#, None),
        (r#"{"alg":"\u0045dDSA","typ":"t","kid":"k"}"#, None),
        (r#"{"alg":"Ed25519","typ":"t","kid":"k"}"#, Some(Error::Algorithm)),
        (r#"{"alg":"eddsa","typ":"t","kid":"k"}"#, Some(Error::Algorithm)),
        (r#"{"alg":"none","typ":"t","kid":"k"}"#, Some(Error::Algorithm)),
        (r#"{"alg":"HS256","typ":"t","kid":"k"}"#, Some(Error::Algorithm)),
        (r#"{"alg":"EdDSA","typ":"t","kid":"k","crit":["b64"],"b64":false}"#, Some(Error::Critical)),
        (r#"{"alg":"EdDSA","typ":"t","kid":"k","crit":[]}"#, Some(Error::Critical)),
        (r#"{"alg":"none","alg":"EdDSA","typ":"t","kid":"k"}"#, Some(Error::Header)),
        (r#"{"alg":"EdDSA","typ":"t","kid":"k","kid":"k"}"#, Some(Error::Header)),
        (r#"{"alg":"EdDSA","typ":"t","kid":"k","k\u0069d":"l"}"#, Some(Error::Header)),
        (r#"{"alg":"EdDSA","typ":"t","kid":"k","x":1,"x":1}"#, Some(Error::Header)),
        (r#"{"typ":"t","kid":"k"}"#, Some(Error::Header)),
        (r#"{"alg":"EdDSA","kid":"k"}"#, Some(Error::Header)),
        (r#"{"alg":"EdDSA","typ":"t"}"#, Some(Error::Header)),
        (r#"{"alg":["EdDSA"],"typ":"t","kid":"k"}"#, Some(Error::Header)),
        (r#"{"alg":"EdDSA","typ":null,"kid":"k"}"#, Some(Error::Header)),
        (r#"{"alg":"EdDSA","typ":"t","kid":7}"#, Some(Error::Header)),
        (r#"{"alg":"EdDSA","typ":"t","kid":"k"} {}"#, Some(Error::Header)),
        (r#"{"alg":"EdDSA","typ":"t","kid":"k",}"#, Some(Error::Header)),
        (r#"["alg","EdDSA"]"#, Some(Error::Header)),
        ("null", Some(Error::Header)),
        ("", Some(Error::Header)),
    ] {
        let token = signed_under(header);
        let parsed =
            jws::Compact::parse(&token).and_then(|token| token.verify(key().public()).map(<[u8]>::to_vec));
        assert_eq!(parsed.err(), expected, "{header}");
    }
}

#[test]
fn a_jws_has_three_parts() {
    let good = jws::sign("t", b"{}", &key());
    assert!(jws::Compact::parse(&good).is_ok());
    for text in [
        String::new(),
        good.replacen('.', "", 1),
        format!("{good}."),
        format!(".{good}"),
        good.replace('.', ".."),
    ] {
        assert!(jws::Compact::parse(&text).is_err(), "{text}");
    }
}

#[test]
fn jwe_headers_are_read_strictly() {
    let good = jwe::encrypt_dir("t", "k", &CEK, [1; 12], b"text");
    let (_, rest) = good.split_once('.').unwrap();
    for (header, expected) in [
        (r#"{"alg":"dir","enc":"A256GCM","typ":"t","kid":"k","zip":"DEF"}"#, Error::Algorithm),
        (r#"{"alg":"A256KW","enc":"A256GCM","typ":"t","kid":"k"}"#, Error::Algorithm),
        (r#"{"alg":"dir","enc":"A128GCM","typ":"t","kid":"k"}"#, Error::Algorithm),
        (r#"{"alg":"dir","enc":"A256GCM","typ":"other","kid":"k"}"#, Error::Type),
        (r#"{"alg":"dir","enc":"A256GCM","typ":"t","kid":"k","crit":["exp"]}"#, Error::Critical),
        (r#"{"alg":"dir","enc":"A256GCM","enc":"A256GCM","typ":"t","kid":"k"}"#, Error::Header),
        (r#"{"alg":"dir","enc":"A256GCM","typ":"t"}"#, Error::Header),
        // The same meaning in another spelling is another text, and authenticated as it stands.
        (r#"{"alg":"dir", "enc":"A256GCM","typ":"t","kid":"k"}"#, Error::Decryption),
    ] {
        let text = format!("{}.{rest}", base64url::encode(header.as_bytes()));
        assert_eq!(jwe::decrypt_dir(&text, &CEK, "t").err(), Some(expected), "{header}");
    }
}

#[test]
fn headers_of_a_jwe_to_a_public_key_are_read_strictly() {
    let key = SecretKey::from_bytes(&[3; 32]);
    let good = jwe::encrypt_ecdh_es("t", &key.public(), &SecretKey::from_bytes(&[4; 32]), [1; 12], b"text");
    assert_eq!(jwe::decrypt_ecdh_es(&good, &key, "t").unwrap().as_slice(), b"text");
    let other = SecretKey::from_bytes(&[5; 32]);
    assert_eq!(jwe::decrypt_ecdh_es(&good, &other, "t").err(), Some(Error::Decryption));
    let (header, rest) = good.split_once('.').unwrap();
    let header = String::from_utf8(base64url::decode(header).unwrap()).unwrap();
    let epk = serde_json::to_string(&SecretKey::from_bytes(&[4; 32]).public()).unwrap();
    assert_eq!(header, format!(r#"{{"alg":"ECDH-ES","enc":"A256GCM","typ":"t","epk":{epk}}}"#));
    for (from, to, expected) in [
        ("ECDH-ES", "ECDH-ES+A256KW", Error::Algorithm),
        ("ECDH-ES", "dir", Error::Algorithm),
        ("A256GCM", "A128GCM", Error::Algorithm),
        (r#""typ":"t""#, r#""typ":"other""#, Error::Type),
        (r#""typ":"t","#, "", Error::Header),
        (r#""typ":"t""#, r#""typ":"t","zip":"DEF""#, Error::Algorithm),
        (r#""typ":"t""#, r#""typ":"t","crit":["exp"]"#, Error::Critical),
        (r#""typ":"t""#, r#""typ":"t","apu":"QWxpY2U""#, Error::Algorithm),
        (r#""typ":"t""#, r#""typ":"t","apv":"Qm9i""#, Error::Algorithm),
        (r#""typ":"t""#, r#""typ":"t","typ":"t""#, Error::Header),
        (r#""epk":"#, r#""epk":1,"more":"#, Error::Header),
        (r#""epk":"#, r#""key":"#, Error::Header),
        ("X25519", "X448", Error::Header),
        // Encrypted to a key of low order, everyone could read it.
        (
            epk.as_str(),
            r#"{"kty":"OKP","crv":"X25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
            Error::Header,
        ),
        (
            epk.as_str(),
            r#"{"kty":"OKP","crv":"X25519","x":"CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
            Error::Decryption,
        ),
        (r#""typ":"t""#, r#""typ": "t""#, Error::Decryption),
    ] {
        let text = format!("{}.{rest}", base64url::encode(header.replacen(from, to, 1).as_bytes()));
        assert_eq!(jwe::decrypt_ecdh_es(&text, &key, "t").err(), Some(expected), "{from} as {to}");
    }
    assert_eq!(
        jwe::decrypt_ecdh_es(&good.replacen("..", ".AAAA.", 1), &key, "t").err(),
        Some(Error::Serialization)
    );
}

#[test]
fn a_jwe_has_five_parts_an_empty_key_and_iv_and_tag_of_their_lengths() {
    let good = jwe::encrypt_dir("t", "k", &CEK, [1; 12], b"text");
    let [header, _, iv, ciphertext, tag]: [&str; 5] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    assert!(jwe::decrypt_dir(&good, &CEK, "t").is_ok());
    assert_eq!(jwe::decrypt_dir(&good, &[8; 32], "t").err(), Some(Error::Decryption));
    for (text, expected) in [
        (format!("{header}.AAAA.{iv}.{ciphertext}.{tag}"), Error::Serialization),
        (format!("{header}..{iv}.{ciphertext}"), Error::Serialization),
        (format!("{header}..{iv}.{ciphertext}.{tag}."), Error::Serialization),
        (format!("{header}..{iv}AA.{ciphertext}.{tag}"), Error::Base64Url),
        (format!("{header}..{}.{ciphertext}.{tag}", &iv[..12]), Error::Base64Url),
        (format!("{header}..{iv}.{ciphertext}.{}", &tag[..20]), Error::Base64Url),
        (format!("{header}..{iv}.{ciphertext}."), Error::Base64Url),
        (format!("{header}..{iv}..{tag}"), Error::Decryption),
    ] {
        assert_eq!(jwe::decrypt_dir(&text, &CEK, "t").err(), Some(expected), "{text}");
    }
}

#[test]
fn a_jwk_says_exactly_what_it_is() {
    let good = serde_json::to_value(Jwk::from(key().public().clone())).unwrap();
    assert_eq!(Jwk::parse(&good.to_string()).unwrap().into_public_key(), *key().public());
    for (member, value, expected) in [
        ("kty", "EC", Error::Jwk),
        ("crv", "X25519", Error::Jwk),
        ("use", "enc", Error::Jwk),
        ("kid", "another", Error::Jwk),
        ("x", "Zm9v", Error::Base64Url),
        ("x", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Error::PublicKey),
        // Another key under this one's name.
        ("x", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", Error::Jwk),
    ] {
        let mut jwk = good.clone();
        jwk[member] = value.into();
        assert_eq!(Jwk::parse(&jwk.to_string()).err(), Some(expected), "{member} {value}");

        jwk.as_object_mut().unwrap().remove(member);
        assert_eq!(Jwk::parse(&jwk.to_string()).err(), Some(Error::Jwk), "without {member}");
    }
    let twice = good.to_string().replacen('{', r#"{"kty":"OKP","#, 1);
    assert_eq!(Jwk::parse(&twice).err(), Some(Error::Jwk));
}

#[test]
fn private_keys_are_not_printed() {
    let seed = base64url::decode_array("U0VDUkVUU0VDUkVUU0VDUkVUU0VDUkVUU0VDUkVUU0U").unwrap();
    let key = SigningKey::from_seed(&seed);
    let printed = format!("{key:?} {:?}", jws::Signer::new("t", key.clone()));
    assert!(printed.contains(key.kid()));
    for marker in ["SECRET", "U0VDUkVU", "83, 69, 67", "534543"] {
        assert!(!printed.contains(marker), "{printed}");
    }
}
