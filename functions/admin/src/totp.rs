//! The second factor: codes that change every half minute (RFC 6238), and codes that stand in for them.

use hmac::{Hmac, KeyInit, Mac};
use protocol::admin::Enrolment;
use protocol::ambient::{Random, array};
use qrcodegen::{QrCode, QrCodeEcc};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// How long a code lives, seconds. Every authenticator app takes this, six digits and SHA-1, and some nothing else.
const PERIOD: i64 = 30;

/// How many recovery codes there are.
const RECOVERY_CODES: usize = 10;

/// A new seed of 160 bits, as long as its hash (RFC 4226 section 4).
pub(crate) fn seed(random: &dyn Random) -> Zeroizing<[u8; 20]> {
    Zeroizing::new(array(random))
}

/// The time step of a code that is right now, or was or will be in a neighbouring step: clocks differ.
pub(crate) fn step_of(seed: &[u8], code: &str, now: i64) -> Option<i64> {
    let code: u32 =
        code.parse().ok().filter(|_| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()))?;
    let current = now / PERIOD;
    // All of them, whichever is right.
    let right = [current - 1, current, current + 1].map(|step| (step, code_at(seed, step) == code));
    right.into_iter().find(|(_, is_right)| *is_right).map(|(step, _)| step)
}

/// The code of a time step (RFC 4226 section 5.3).
fn code_at(seed: &[u8], step: i64) -> u32 {
    let mac = Hmac::<Sha1>::new_from_slice(seed).expect("HMAC takes a key of any length");
    let mac = mac.chain_update(step.to_be_bytes()).finalize().into_bytes();
    let offset = usize::from(mac[19] & 15);
    let word = mac[offset..].first_chunk().expect("an offset of 15 at most leaves 5 of 20 bytes");
    (u32::from_be_bytes(*word) & 0x7fff_ffff) % 1_000_000
}

/// What an authenticator app is told, for an account.
pub(crate) fn enrolment(seed: &[u8], account: &str) -> Enrolment {
    let secret = base32(seed);
    let account = percent_encoded(account);
    let otpauth_uri = format!(
        "otpauth://totp/qubictether:{account}?secret={secret}&issuer=qubictether&algorithm=SHA1&digits=6&period={PERIOD}"
    );
    let qr = QrCode::encode_text(&otpauth_uri, QrCodeEcc::Medium).map(|code| rows(&code)).unwrap_or_default();
    Enrolment { secret, otpauth_uri, qr }
}

fn rows(code: &QrCode) -> Vec<String> {
    let row = |y| (0..code.size()).map(|x| if code.get_module(x, y) { '1' } else { '0' }).collect();
    (0..code.size()).map(row).collect()
}

/// New recovery codes, 80 random bits each, and their hashes.
pub(crate) fn recovery_codes(random: &dyn Random) -> (Vec<String>, Vec<[u8; 32]>) {
    let code = |_| {
        let letters = base32(&array::<10>(random)).to_ascii_lowercase();
        let groups: Vec<&str> = (0..4).map(|group| &letters[group * 4..group * 4 + 4]).collect();
        groups.join("-")
    };
    let codes: Vec<String> = (0..RECOVERY_CODES).map(code).collect();
    let hashes = codes.iter().filter_map(|code| recovery_hash(code)).collect();
    (codes, hashes)
}

/// The hash of what may be a recovery code, however it is spelled.
pub(crate) fn recovery_hash(code: &str) -> Option<[u8; 32]> {
    let letters: String = code.chars().filter(|letter| !matches!(letter, '-' | ' ')).collect();
    let letters = letters.to_ascii_lowercase();
    let is_one = letters.len() == 16 && letters.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
    is_one.then(|| Sha256::digest(&letters).into())
}

/// RFC 4648 section 6, for a multiple of five bytes: without padding.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let of_group = |group: &[u8]| {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        (0..8).rev().map(move |at| char::from(LETTERS[(bits >> (at * 5) & 31) as usize]))
    };
    bytes.chunks_exact(5).flat_map(of_group).collect()
}

fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded =
        |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use protocol::ambient::SeededRandom;

    use super::*;

    /// RFC 6238 appendix B, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let seed = b"12345678901234567890";
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step_of(seed, code, time), Some(time / 30), "{time}");
            assert_eq!(step_of(seed, code, time + 30), Some(time / 30), "a neighbour");
            assert_eq!(step_of(seed, code, time + 90), None, "too late");
        }
        for not in ["", "28708", "+87082", "287082 ", "2870820"] {
            assert_eq!(step_of(seed, not, 59), None, "{not}");
        }
    }

    #[test]
    fn an_app_is_told_the_seed() {
        let told = enrolment(b"12345678901234567890", "a+b@example.com");
        assert_eq!(told.secret, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(told.otpauth_uri.starts_with("otpauth://totp/qubictether:a%2Bb%40example.com?secret=GEZD"));
        assert!(told.qr.len() > 20 && told.qr.iter().all(|row| row.len() == told.qr.len()));
        assert!(told.qr[0].starts_with("1111111"), "a finder pattern");
    }

    #[test]
    fn a_recovery_code_is_known_however_it_is_spelled() {
        let (codes, hashes) = recovery_codes(&SeededRandom::new(1));
        assert_eq!((codes.len(), hashes.len()), (10, 10));
        let spelled = codes[0].to_uppercase().replace('-', " ");
        assert_eq!(recovery_hash(&spelled), Some(hashes[0]));
        assert_eq!(recovery_hash("123456"), None);
    }
}
