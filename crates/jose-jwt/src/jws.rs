//! Signed texts in compact serialization (RFC 7515), Ed25519 only (RFC 8037 section 3.1).

use serde::Serialize;

use crate::{
    Error, PublicKey, SigningKey, base64url,
    header::{self, Header},
};

const ALG: &str = "EdDSA";

/// Signs one payload. Whoever signs many of one type keeps a [`Signer`].
#[must_use]
pub fn sign(typ: &str, payload: &[u8], key: &SigningKey) -> String {
    sign_under(&encode_header(typ, key), payload, key)
}

/// A key that signs texts of one type. It encodes their header once.
#[derive(Clone, Debug)]
pub struct Signer {
    key: SigningKey,
    header: String,
}

impl Signer {
    /// A signer of texts whose header is `{"alg":"EdDSA","typ":…,"kid":…}`.
    #[must_use]
    pub fn new(typ: &str, key: SigningKey) -> Self {
        Self { header: encode_header(typ, &key), key }
    }

    /// Signs one payload.
    #[must_use]
    pub fn sign(&self, payload: &[u8]) -> String {
        sign_under(&self.header, payload, &self.key)
    }

    /// The key that it signs with.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }
}

fn encode_header(typ: &str, key: &SigningKey) -> String {
    /// In the order in which the members are written.
    #[derive(Serialize)]
    struct Protected<'a> {
        alg: &'a str,
        typ: &'a str,
        kid: &'a str,
    }

    header::encode(&Protected { alg: ALG, typ, kid: key.kid() })
}

/// RFC 7515 section 5.1, steps 5 to 8.
fn sign_under(header: &str, payload: &[u8], key: &SigningKey) -> String {
    // Four characters for three bytes; a signature is 86 of them.
    let mut text = String::with_capacity(header.len() + payload.len().div_ceil(3) * 4 + 88);
    text.push_str(header);
    text.push('.');
    base64url::encode_onto(&mut text, payload);
    let signature = key.sign(text.as_bytes());
    text.push('.');
    base64url::encode_onto(&mut text, &signature);
    text
}

/// A signed text that is well-formed, but not verified. Its payload comes out by [`verify`](Self::verify) only.
pub struct Compact<'a> {
    signing_input: &'a str,
    typ: String,
    kid: String,
    payload: Vec<u8>,
    signature: [u8; 64],
}

impl<'a> Compact<'a> {
    /// Takes the text apart. `alg` must be exactly `EdDSA`, `typ` and `kid` must be there; header members that
    /// aren't known are ignored, except `crit`.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let (signing_input, signature) = text.rsplit_once('.').ok_or(Error::Serialization)?;
        let (header, payload) = signing_input.split_once('.').ok_or(Error::Serialization)?;
        if payload.contains('.') {
            return Err(Error::Serialization);
        }
        let header = Header::parse(header)?;
        header.expect_algorithm("alg", ALG)?;
        Ok(Self {
            signing_input,
            typ: header.text("typ")?,
            kid: header.text("kid")?,
            payload: base64url::decode(payload)?,
            signature: base64url::decode_array(signature)?,
        })
    }

    /// What type the text says it is.
    #[must_use]
    pub fn typ(&self) -> &str {
        &self.typ
    }

    /// Which key the text says it is signed by.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The payload, if `key` signed it; otherwise [`Error::Signature`]. Whether it is the right key, and the
    /// right type, is the caller's to say.
    pub fn verify(&self, key: &PublicKey) -> Result<&[u8], Error> {
        key.verify(self.signing_input.as_bytes(), &self.signature)?;
        Ok(&self.payload)
    }
}
