//! The proof that a request comes from who holds an install's secret, `docs/protocol.md`, "The proof".

use std::fmt::{self, Write as _};

use hmac::{Hmac, KeyInit, Mac};
use jose_jwt::base64url;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

pub use crate::secret::Secret;
use crate::{Counter, Expected, InstallId, LeaseId, LicenseId, Nonce};

/// The authentication scheme that the header begins with.
pub const SCHEME: &str = "QT1-HMAC-SHA256";

/// Length of the span of time that a proof is good for, beside the one before it.
pub const BUCKET_SECONDS: i64 = 300;

/// What a request asks for; the proof of one is no proof of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `POST /v1/heartbeat`
    Heartbeat,
    /// `POST /v1/leases`
    Lease,
    /// `POST /v1/leases/{lease_id}/return`
    LeaseReturn(LeaseId),
    /// `POST /v1/rekey`
    Rekey,
    /// `POST /v1/deactivate`
    Deactivate,
}

impl Operation {
    /// The operation's name in the signed message.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Lease => "lease",
            Self::LeaseReturn(_) => "lease-return",
            Self::Rekey => "rekey",
            Self::Deactivate => "deactivate",
        }
    }
}

/// The number of the bucket that an instant is in.
#[must_use]
pub const fn bucket(unix_seconds: i64) -> i64 {
    unix_seconds.div_euclid(BUCKET_SECONDS)
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// The value of the header `Authorization`, in the one form that it has.
///
/// ```
/// use protocol::{
///     Counter, InstallId, LicenseId, Nonce, Secret,
///     proof::{Operation, ProofHeader},
/// };
/// use sha2::{Digest, Sha256};
///
/// let (now, body, secret) = (1_790_000_123, b"{}", Secret::from_bytes([7; 32]));
/// let header = ProofHeader::unsigned(
///     "0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50".parse::<InstallId>()?,
///     "0192f0a1-0000-7aaa-8bbb-0123456789ab".parse::<LicenseId>()?,
///     "7".parse::<Counter>()?,
///     Nonce::from_bytes(&[9; 24])?,
/// )
/// .sign(&secret, &Operation::Rekey, now, body);
///
/// let received = ProofHeader::parse(header.to_string().as_bytes())?;
/// assert!(received.verify(&secret, &Operation::Rekey, &Sha256::digest(body).into(), now));
/// assert!(!received.verify(&secret, &Operation::Lease, &Sha256::digest(body).into(), now));
/// # Ok::<(), protocol::Expected>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProofHeader {
    /// Who asks.
    pub install: InstallId,
    /// The license that the install belongs to.
    pub license: LicenseId,
    /// The number of this attempt.
    pub counter: Counter,
    /// The attempt's own random bytes.
    pub nonce: Nonce,
    proof: [u8; 32],
}

impl ProofHeader {
    /// A header that proves nothing yet.
    #[must_use]
    pub const fn unsigned(install: InstallId, license: LicenseId, counter: Counter, nonce: Nonce) -> Self {
        Self { install, license, counter, nonce, proof: [0; 32] }
    }

    /// A header of an install that there is not: a request without a readable one is checked as if it had this,
    /// so that it costs the same work.
    #[must_use]
    pub fn of_nobody() -> Self {
        let nonce = Nonce::from_bytes(&[0; 24]).expect("a nonce has 16 to 32 bytes");
        let nil = Uuid::nil();
        Self::unsigned(InstallId::from_uuid(nil), LicenseId::from_uuid(nil), Counter::MAX, nonce)
    }

    /// This header with the proof that its request, sent at `now` (Unix seconds), comes from who holds the secret.
    #[must_use]
    pub fn sign(self, secret: &Secret, operation: &Operation, now: i64, body: &[u8]) -> Self {
        let message = self.message(operation, bucket(now), &Sha256::digest(body).into());
        Self { proof: hmac(secret.as_bytes(), message.as_bytes()), ..self }
    }

    /// Whether this secret signed this attempt at this operation with this body, in the bucket of `now` (Unix
    /// seconds) or in the one before. Takes the same time wherever a wrong proof differs.
    #[must_use]
    pub fn verify(&self, secret: &Secret, operation: &Operation, body_sha256: &[u8; 32], now: i64) -> bool {
        self.signed_bucket(secret, operation, body_sha256, now).is_some()
    }

    /// In which bucket this secret signed it, if in one that [`verify`](Self::verify) takes.
    #[must_use]
    pub fn signed_bucket(
        &self,
        secret: &Secret,
        operation: &Operation,
        body_sha256: &[u8; 32],
        now: i64,
    ) -> Option<i64> {
        let current = bucket(now);
        [current, current.saturating_sub(1)].into_iter().find(|bucket| {
            let message = self.message(operation, *bucket, body_sha256);
            hmac(secret.as_bytes(), message.as_bytes()).ct_eq(&self.proof).into()
        })
    }

    /// The text that the proof is an HMAC of.
    #[must_use]
    pub fn message(&self, operation: &Operation, bucket: i64, body_sha256: &[u8; 32]) -> String {
        const LONGEST: usize = 320;
        let mut uuid = Uuid::encode_buffer();
        let mut hex = [0; 64];
        for (pair, byte) in hex.as_chunks_mut().0.iter_mut().zip(body_sha256) {
            *pair = [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
        }
        let mut message = String::with_capacity(LONGEST);
        message.push_str("qt1:");
        message.push_str(operation.as_str());
        message.push('\n');
        message.push_str(self.install.as_uuid().hyphenated().encode_lower(&mut uuid));
        message.push('\n');
        message.push_str(self.license.as_uuid().hyphenated().encode_lower(&mut uuid));
        write!(message, "\n{}\n{bucket}\n", self.counter.value()).expect("writing to a string can't fail");
        message.push_str(&base64url::encode(self.nonce.as_bytes()));
        message.push('\n');
        message.push_str(str::from_utf8(&hex).expect("hex digits are ASCII"));
        if let Operation::LeaseReturn(lease) = operation {
            message.push('\n');
            message.push_str(lease.as_uuid().hyphenated().encode_lower(&mut uuid));
        }
        message
    }

    /// Reads a header's value.
    pub fn parse(value: &[u8]) -> Result<Self, Expected> {
        Self::read(value)
            .ok_or(Expected("a proof: QT1-HMAC-SHA256 install=…, license=…, counter=…, nonce=…, proof=…"))
    }

    fn read(value: &[u8]) -> Option<Self> {
        let rest = str::from_utf8(value).ok()?.strip_prefix(SCHEME)?.strip_prefix(' ')?;
        let (install, rest) = rest.strip_prefix("install=")?.split_once(", ")?;
        let (license, rest) = rest.strip_prefix("license=")?.split_once(", ")?;
        let (counter, rest) = rest.strip_prefix("counter=")?.split_once(", ")?;
        let (nonce, rest) = rest.strip_prefix("nonce=")?.split_once(", ")?;
        Some(Self {
            install: install.parse().ok()?,
            license: license.parse().ok()?,
            counter: counter.parse().ok()?,
            nonce: nonce.parse().ok()?,
            proof: base64url::decode_array(rest.strip_prefix("proof=")?).ok()?,
        })
    }
}

impl fmt::Display for ProofHeader {
    /// The header's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { install, license, counter, nonce, proof } = self;
        let proof = base64url::encode(proof);
        write!(
            f,
            "{SCHEME} install={install}, license={license}, counter={counter}, nonce={nonce}, proof={proof}"
        )
    }
}

impl fmt::Debug for ProofHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { install, license, counter, nonce, proof: _ } = self;
        write!(f, "ProofHeader({install}, {license}, {counter}, {nonce}, ..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_790_000_123;

    fn header(counter: u64, nonce: &[u8]) -> ProofHeader {
        ProofHeader::unsigned(
            InstallId::new(1, [1; 10]),
            LicenseId::new(2, [2; 10]),
            Counter::new(counter).unwrap(),
            Nonce::from_bytes(nonce).unwrap(),
        )
    }

    fn secret() -> Secret {
        Secret::from_bytes([7; 32])
    }

    fn digest(body: &[u8]) -> [u8; 32] {
        Sha256::digest(body).into()
    }

    /// RFC 4231, cases 1, 2 and 6.
    #[test]
    fn the_hmac_is_that_of_rfc_4231() {
        let hex = |bytes: [u8; 32]| bytes.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(
            hex(hmac(&[0x0b; 20], b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_proof_is_good_in_its_bucket_and_the_next() {
        let signed = header(7, &[9; 24]).sign(&secret(), &Operation::Heartbeat, NOW, b"{}");
        let start = bucket(NOW) * BUCKET_SECONDS;
        let good = |now| signed.verify(&secret(), &Operation::Heartbeat, &digest(b"{}"), now);
        assert!(!good(start - 1));
        assert!(good(start) && good(start + 599));
        assert!(!good(start + 600));
    }

    #[test]
    fn buckets_count_from_1970_in_both_directions() {
        assert_eq!([-301, -300, -1, 0, 299, 300].map(bucket), [-2, -1, -1, 0, 0, 1]);
        for now in [i64::MIN, -1, 0, 299, i64::MAX] {
            let signed = header(1, &[0; 16]).sign(&secret(), &Operation::Lease, now, b"");
            assert!(signed.verify(&secret(), &Operation::Lease, &digest(b""), now), "{now}");
        }
        let early = header(1, &[0; 16]).sign(&secret(), &Operation::Lease, -1, b"");
        assert!(early.verify(&secret(), &Operation::Lease, &digest(b""), 299));
        assert!(!early.verify(&secret(), &Operation::Lease, &digest(b""), 300));
    }

    #[test]
    fn a_proof_is_of_one_operation_and_one_lease() {
        let leases = [LeaseId::new(1, [0; 10]), LeaseId::new(1, [1; 10])];
        let operations = [
            Operation::Heartbeat,
            Operation::Lease,
            Operation::LeaseReturn(leases[0]),
            Operation::LeaseReturn(leases[1]),
            Operation::Rekey,
            Operation::Deactivate,
        ];
        for made in operations {
            let signed = header(7, &[9; 24]).sign(&secret(), &made, NOW, b"");
            for checked in operations {
                assert_eq!(signed.verify(&secret(), &checked, &digest(b""), NOW), made == checked);
            }
        }
    }

    #[test]
    fn every_bit_of_every_field_counts() {
        let operation = Operation::Heartbeat;
        let signed = header(7, &[9; 24]).sign(&secret(), &operation, NOW, b"body");
        let good = |header: &ProofHeader, secret: &Secret, body: &[u8; 32], now| {
            header.verify(secret, &operation, body, now)
        };
        assert!(good(&signed, &secret(), &digest(b"body"), NOW));
        for bit in 0..256 {
            let flip = |mut bytes: [u8; 32]| {
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            };
            assert!(!good(&signed, &Secret::from_bytes(flip([7; 32])), &digest(b"body"), NOW));
            assert!(!good(&signed, &secret(), &flip(digest(b"body")), NOW));
            assert!(!good(
                &ProofHeader { proof: flip(signed.proof), ..signed },
                &secret(),
                &digest(b"body"),
                NOW
            ));
        }
        // In the header's text: what still reads must not verify.
        let text = signed.to_string();
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = ProofHeader::parse(&bytes) {
                assert_ne!(other, signed, "bit {bit}");
                assert!(!good(&other, &secret(), &digest(b"body"), NOW), "bit {bit}");
            }
        }
    }

    #[test]
    fn the_header_has_one_form() {
        let text = header(7, &[9; 24]).sign(&secret(), &Operation::Rekey, NOW, b"").to_string();
        assert!(ProofHeader::parse(text.as_bytes()).is_ok());
        let changes = [
            (", ", ","),
            (", ", ",  "),
            (", ", " , "),
            (", ", ";"),
            ("QT1-HMAC-SHA256 ", "QT1-HMAC-SHA256  "),
            ("QT1-HMAC-SHA256", "qt1-hmac-sha256"),
            ("QT1-HMAC-SHA256", "QT2-HMAC-SHA256"),
            ("install", "Install"),
            ("counter=7", "counter=07"),
            ("counter=7", "counter=0"),
            ("counter=7", "counter=+7"),
            ("counter=7", "counter=\"7\""),
            ("counter=7", "counter=9007199254740992"),
            ("counter=7, ", ""),
            ("counter=7", "counter=7, counter=7"),
            ("proof=", "proof=\""),
            ("proof=", "Proof="),
        ];
        for (from, to) in changes {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text);
            assert!(ProofHeader::parse(other.as_bytes()).is_err(), "{other}");
        }
        for other in [
            format!(" {text}"),
            format!("{text} "),
            format!("{text}="),
            format!("{text}, a=b"),
            String::new(),
        ] {
            assert!(ProofHeader::parse(other.as_bytes()).is_err(), "{other}");
        }
        let swapped =
            text.replace("install=", "x=").replace("license=", "install=").replace("x=", "license=");
        assert!(ProofHeader::parse(swapped.as_bytes()).is_err());
        assert!(ProofHeader::parse(&[text.as_bytes(), &[0xff]].concat()).is_err());
    }

    #[test]
    fn a_header_never_prints_its_proof() {
        let signed = header(7, &[9; 24]).sign(&secret(), &Operation::Rekey, NOW, b"");
        let proof = base64url::encode(&signed.proof);
        assert!(signed.to_string().ends_with(&proof));
        assert!(!format!("{signed:?}").contains(&proof));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_reads_prints_back(bytes: Vec<u8>, cut in 0_usize..300, with in "\\PC{0,3}") {
            let _refused = ProofHeader::parse(&bytes);
            let mut text = header(7, &[9; 24]).to_string();
            if text.is_char_boundary(cut) && cut <= text.len() {
                text.replace_range(cut..(cut + with.len()).min(text.len()), &with);
            }
            if let Ok(read) = ProofHeader::parse(text.as_bytes()) {
                prop_assert_eq!(read.to_string(), text);
            }
        }

        #[test]
        fn what_is_made_reads_back(
            install: [u8; 16],
            license: [u8; 16],
            counter in 1_u64..1 << 53,
            nonce in prop::collection::vec(any::<u8>(), 16..=32),
            proof: [u8; 32],
        ) {
            let uuid = Uuid::from_bytes;
            let made = ProofHeader {
                install: InstallId::from_uuid(uuid(install)),
                license: LicenseId::from_uuid(uuid(license)),
                proof,
                ..header(counter, &nonce)
            };
            prop_assert_eq!(ProofHeader::parse(made.to_string().as_bytes()).unwrap(), made);
        }
    }
}
