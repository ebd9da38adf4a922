//! The artifact of an offline lease: signed claims that only the install's secret opens.

use hkdf::Hkdf;
use jose_jwt::jwe;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{LeaseId, Secret, response::CompactJose, token::TokenError};

/// The `typ` of an artifact.
pub const TYP: &str = "qt-lease+jwe";

const INFO: &[u8] = b"qt1:lease";

/// The key that a lease is encrypted with: HKDF-SHA-256 (RFC 5869) of the secret that proved the request.
#[must_use]
pub fn content_key(secret: &Secret, lease: LeaseId) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(lease.as_uuid().as_bytes()), secret.as_bytes())
        .expand(INFO, &mut *key)
        .expect("one block of output is no more than HKDF can give");
    key
}

/// Encrypts signed claims. `iv` is random: a lease's key encrypts once.
#[must_use]
pub fn seal(signed: &CompactJose, secret: &Secret, lease: LeaseId, iv: [u8; 12]) -> CompactJose {
    let kid = lease.to_string();
    CompactJose(jwe::encrypt_dir(TYP, &kid, &content_key(secret, lease), iv, signed.as_str().as_bytes()))
}

/// Decrypts an artifact, which says itself which lease it is. What comes out is signed, and not yet verified.
pub fn open(artifact: &str, secret: &Secret, lease: LeaseId) -> Result<CompactJose, TokenError> {
    let (kid, signed) = jwe::decrypt_dir(artifact, &content_key(secret, lease), TYP)?;
    if kid != lease.to_string() {
        return Err(TokenError::UnknownKey);
    }
    str::from_utf8(&signed).map(|text| CompactJose(text.to_owned())).map_err(|_| TokenError::Claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869 appendix A.1.
    #[test]
    fn the_key_derivation_is_that_of_rfc_5869() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut output = [0; 42];
        Hkdf::<Sha256>::new(Some(&salt), &[0x0b; 22]).expand(&info, &mut output).unwrap();
        let hex = output.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(
            hex,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
    }

    #[test]
    fn an_artifact_opens_with_its_own_secret_as_its_own_lease() {
        let (secret, lease) = (Secret::from_bytes([7; 32]), LeaseId::new(1, [1; 10]));
        let signed = CompactJose("a.b.c".to_owned());
        let artifact = seal(&signed, &secret, lease, [3; 12]);
        assert_eq!(open(artifact.as_str(), &secret, lease).unwrap(), signed);
        assert!(open(artifact.as_str(), &Secret::from_bytes([8; 32]), lease).is_err());
        assert!(open(artifact.as_str(), &secret, LeaseId::new(1, [2; 10])).is_err());
        // Under its key but another name.
        let key = content_key(&secret, lease);
        let renamed = jwe::encrypt_dir(TYP, "other", &key, [3; 12], b"a.b.c");
        assert_eq!(open(&renamed, &secret, lease), Err(TokenError::UnknownKey));
        let retyped = jwe::encrypt_dir("other", &lease.to_string(), &key, [3; 12], b"a.b.c");
        assert!(open(&retyped, &secret, lease).is_err());
    }
}
