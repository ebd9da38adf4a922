//! Encrypted texts in compact serialization (RFC 7516): A256GCM under a key that both sides hold (`dir`), or that
//! they agree on by X25519 (`ECDH-ES`).

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    Error, base64url, concat_kdf,
    header::{self, Header},
    x25519::{PublicKey, SecretKey},
};

const ENC: &str = "A256GCM";
const ECDH_ES: &str = "ECDH-ES";

/// Encrypts under `cek`; the header is `{"alg":"dir","enc":"A256GCM","typ":…,"kid":…}`.
///
/// `iv` must never have been used with this key before (RFC 7518 section 8.4): under one that was, both
/// plaintexts and the key's authentication are lost.
#[must_use]
pub fn encrypt_dir(typ: &str, kid: &str, cek: &[u8; 32], iv: [u8; 12], plaintext: &[u8]) -> String {
    /// In the order in which the members are written.
    #[derive(Serialize)]
    struct Protected<'a> {
        alg: &'a str,
        enc: &'a str,
        typ: &'a str,
        kid: &'a str,
    }

    seal(header::encode(&Protected { alg: "dir", enc: ENC, typ, kid }), cek, iv, plaintext)
}

/// Decrypts a text of type `typ`, and gives its `kid` and plaintext; [`Error::Type`] if it is of another.
pub fn decrypt_dir(text: &str, cek: &[u8; 32], typ: &str) -> Result<(String, Zeroizing<Vec<u8>>), Error> {
    let (header, sealed) = Sealed::parse(text)?;
    header.expect_algorithm("alg", "dir")?;
    if header.text("typ")? != typ {
        return Err(Error::Type);
    }
    let kid = header.text("kid")?;
    Ok((kid, sealed.open(cek)?))
}

/// Encrypts to a public key (RFC 7518 section 4.6, direct key agreement); the header is
/// `{"alg":"ECDH-ES","enc":"A256GCM","typ":…,"epk":…}`.
///
/// `ephemeral` is a key that was made for this text alone, `iv` is any.
#[must_use]
pub fn encrypt_ecdh_es(
    typ: &str,
    to: &PublicKey,
    ephemeral: &SecretKey,
    iv: [u8; 12],
    plaintext: &[u8],
) -> String {
    /// In the order in which the members are written.
    #[derive(Serialize)]
    struct Protected<'a> {
        alg: &'a str,
        enc: &'a str,
        typ: &'a str,
        epk: PublicKey,
    }

    let header = header::encode(&Protected { alg: ECDH_ES, enc: ENC, typ, epk: ephemeral.public() });
    seal(header, &concat_kdf::derive(&*ephemeral.agree(to), ENC), iv, plaintext)
}

/// Decrypts a text of type `typ` that was encrypted to this key's public half; [`Error::Type`] if it is of another
/// type, [`Error::Decryption`] if it was encrypted to another key.
pub fn decrypt_ecdh_es(text: &str, key: &SecretKey, typ: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (header, sealed) = Sealed::parse(text)?;
    header.expect_algorithm("alg", ECDH_ES)?;
    if header.text("typ")? != typ {
        return Err(Error::Type);
    }
    // They change the key, so they can't be ignored; the protocol knows no names of the parties.
    if header.has("apu") || header.has("apv") {
        return Err(Error::Algorithm);
    }
    let epk: PublicKey = header.read("epk")?;
    sealed.open(&concat_kdf::derive(&*key.agree(&epk), ENC))
}

/// RFC 7516 section 5.1 from step 11 on, with an empty encrypted key.
fn seal(header: String, cek: &[u8; 32], iv: [u8; 12], plaintext: &[u8]) -> String {
    let mut text = header;
    let mut buffer = plaintext.to_vec();
    let tag = Aes256Gcm::new(cek.into())
        .encrypt_inout_detached(&iv.into(), text.as_bytes(), buffer.as_mut_slice().into())
        .expect("no plaintext in memory reaches the 64 GiB that are too many for AES-GCM");

    text.push_str("..");
    base64url::encode_onto(&mut text, &iv);
    text.push('.');
    base64url::encode_onto(&mut text, &buffer);
    text.push('.');
    base64url::encode_onto(&mut text, &tag);
    text
}

/// Everything but the header's meaning: what is the same whichever way the two sides came to their key.
struct Sealed<'a> {
    /// The encoded header is authenticated as it stands.
    aad: &'a str,
    iv: [u8; 12],
    ciphertext: Vec<u8>,
    tag: [u8; 16],
}

impl<'a> Sealed<'a> {
    fn parse(text: &'a str) -> Result<(Header, Self), Error> {
        let mut parts = text.split('.');
        let [Some(aad), Some(""), Some(iv), Some(ciphertext), Some(tag), None] =
            std::array::from_fn(|_| parts.next())
        else {
            return Err(Error::Serialization);
        };
        let header = Header::parse(aad)?;
        header.expect_algorithm("enc", ENC)?;
        // Unlike other members, `zip` can't be ignored: it changes what the plaintext is (RFC 7516 section 4.1.3).
        if header.has("zip") {
            return Err(Error::Algorithm);
        }
        let sealed = Self {
            aad,
            iv: base64url::decode_array(iv)?,
            ciphertext: base64url::decode(ciphertext)?,
            tag: base64url::decode_array(tag)?,
        };
        Ok((header, sealed))
    }

    fn open(self, cek: &[u8; 32]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut buffer = Zeroizing::new(self.ciphertext);
        Aes256Gcm::new(cek.into())
            .decrypt_inout_detached(
                &self.iv.into(),
                self.aad.as_bytes(),
                buffer.as_mut_slice().into(),
                &self.tag.into(),
            )
            .map_err(|_| Error::Decryption)?;
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7516 appendix A.1, from where its content key is known.
    #[test]
    fn rfc_7516_content_opens() {
        let cek = [
            177, 161, 244, 128, 84, 143, 225, 115, 63, 180, 3, 255, 107, 154, 212, 246, 138, 7, 110, 91, 112,
            46, 34, 105, 47, 130, 203, 46, 122, 234, 64, 252,
        ];
        let sealed = Sealed {
            aad: "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ",
            iv: base64url::decode_array("48V1_ALb6US04U3b").unwrap(),
            ciphertext: base64url::decode(
                "5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A",
            )
            .unwrap(),
            tag: base64url::decode_array("XFBoMYUZodetZdvTiFvSkQ").unwrap(),
        };
        assert_eq!(
            sealed.open(&cek).unwrap().as_slice(),
            b"The true sign of intelligence is not knowledge but imagination."
        );
    }
}
