//! Ed25519 private keys as JSON (RFC 8037 section 2), for whoever keeps one in a file.

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{Error, SigningKey, base64url};

impl SigningKey {
    /// The key as a private JWK on one line: the public one's members, and `d`, the seed. It is a secret.
    #[must_use]
    pub fn to_jwk(&self) -> Zeroizing<String> {
        const LONGEST: usize = 256;
        let mut json = Zeroizing::new(String::with_capacity(LONGEST));
        json.push_str(r#"{"kty":"OKP","crv":"Ed25519","x":""#);
        base64url::encode_onto(&mut json, self.public().as_bytes());
        json.push_str(r#"","d":""#);
        base64url::encode_onto(&mut json, &*self.seed());
        json.push_str(r#"","kid":""#);
        json.push_str(self.kid());
        json.push_str(r#"","use":"sig"}"#);
        json
    }

    /// Reads a private JWK; [`Error::Jwk`] if it isn't one of Ed25519 whose halves belong together. Further members,
    /// `kid` among them, are ignored.
    pub fn from_jwk(json: &str) -> Result<Self, Error> {
        let members: Members = serde_json::from_str(json).map_err(|_| Error::Jwk)?;
        let d = Zeroizing::new(members.d);
        let seed = Zeroizing::new(base64url::decode_array(&d)?);
        let key = Self::from_seed(&seed);
        let is_whole = members.x == key.public().to_string();
        if is_whole && (&*members.kty, &*members.crv) == ("OKP", "Ed25519") {
            Ok(key)
        } else {
            Err(Error::Jwk)
        }
    }
}

#[derive(Deserialize)]
struct Members {
    kty: String,
    crv: String,
    x: String,
    d: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.1.
    const RFC: &str = r#"{"kty":"OKP","crv":"Ed25519",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    #[test]
    fn the_key_of_the_rfc_is_read_and_reads_back() {
        let key = SigningKey::from_jwk(RFC).unwrap();
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "appendix A.3");
        let json = key.to_jwk();
        assert_eq!(json.lines().count(), 1);
        assert_eq!(SigningKey::from_jwk(&json).unwrap().seed(), key.seed());
        let public = json.replace(r#""d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","#, "");
        assert_eq!(crate::Jwk::parse(&public).unwrap().public_key(), key.public());
    }

    #[test]
    fn what_is_no_private_key_is_refused() {
        for (from, to) in [
            ("OKP", "EC"),
            ("Ed25519", "X25519"),
            ("nWGx", "nWGy"),
            ("nWGx", "nWG"),
            (r#""d""#, r#""e""#),
            ("11qY", "11qZ"),
        ] {
            assert!(SigningKey::from_jwk(&RFC.replacen(from, to, 1)).is_err(), "{from} as {to}");
        }
    }
}
