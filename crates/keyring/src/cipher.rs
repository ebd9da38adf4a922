//! AES-256-GCM as this crate uses it: `nonce(12) ‖ ciphertext ‖ tag(16)`.

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use protocol::ambient::Random;
use zeroize::Zeroizing;

const NONCE: usize = 12;
const TAG: usize = 16;

/// How many bytes longer than its plaintext a ciphertext is.
pub(crate) const OVERHEAD: usize = NONCE + TAG;

/// A key with its schedule computed. Wiped when dropped.
pub(crate) struct Cipher(Aes256Gcm);

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    /// Encrypts under a fresh nonce, and appends the result to `text`.
    pub(crate) fn seal_onto(&self, text: &mut Vec<u8>, aad: &[u8], plaintext: &[u8], random: &dyn Random) {
        let nonce: [u8; NONCE] = protocol::ambient::array(random);
        // At once: growing later would leave copies of the plaintext behind.
        text.reserve_exact(plaintext.len() + OVERHEAD);
        text.extend(nonce);
        let start = text.len();
        text.extend(plaintext);
        let tag = self
            .0
            .encrypt_inout_detached(&nonce.into(), aad, (&mut text[start..]).into())
            .expect("no plaintext in memory reaches the 64 GiB that are too many for AES-GCM");
        text.extend(tag);
    }

    /// Decrypts what [`seal_onto`](Self::seal_onto) appended.
    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG>()?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        self.0.decrypt_inout_detached(nonce.into(), aad, buffer.as_mut_slice().into(), tag.into()).ok()?;
        Some(buffer)
    }
}

/// Joins parts so that no other parts give the same bytes: each after its length as 4 bytes, big-endian.
pub(crate) fn associated_data<const N: usize>(parts: [&[u8]; N]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        let length = u32::try_from(part.len()).expect("names and ids are short");
        joined.extend(length.to_be_bytes());
        joined.extend(part);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_parts_tell_where_each_ends() {
        assert_eq!(associated_data([b"ab", b"c"]), b"\0\0\0\x02ab\0\0\0\x01c");
        assert_ne!(associated_data([b"ab", b"c"]), associated_data([b"a", b"bc"]));
        assert_ne!(associated_data([b"ab", b""]), associated_data([b"", b"ab"]));
    }
}
