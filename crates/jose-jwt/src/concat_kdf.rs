//! The key derivation of `ECDH-ES` (RFC 7518 section 4.6.2): the Concat KDF of NIST SP 800-56A with SHA-256.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Derives `N` bytes, at most 32, for an algorithm from what an agreement came to. The parties have no names here.
pub(crate) fn derive<const N: usize>(z: &[u8], algorithm: &str) -> Zeroizing<[u8; N]> {
    derive_for(z, algorithm, b"", b"")
}

fn derive_for<const N: usize>(z: &[u8], algorithm: &str, apu: &[u8], apv: &[u8]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 32, "one round of SHA-256 gives no more") };
    let mut hash = Sha256::new_with_prefix(1_u32.to_be_bytes());
    hash.update(z);
    for part in [algorithm.as_bytes(), apu, apv] {
        hash.update(length(part.len()));
        hash.update(part);
    }
    hash.update(length(N * 8));
    let digest = Zeroizing::new(<[u8; 32]>::from(hash.finalize()));
    let mut key = Zeroizing::new([0; N]);
    key.copy_from_slice(&digest[..N]);
    key
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("names and keys are short").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64url;

    /// RFC 7518 appendix C. Its agreement is over P-256, the derivation is the same.
    #[test]
    fn the_key_is_that_of_rfc_7518() {
        let z = [
            158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163,
            218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
        ];
        let key = derive_for::<16>(&z, "A128GCM", b"Alice", b"Bob");
        assert_eq!(base64url::encode(&*key), "VqqN6vgjbSBcIijNcacQGg");
    }
}
