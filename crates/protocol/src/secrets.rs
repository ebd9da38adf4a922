//! Which of an install's secrets serve, and until when, so that a lost answer strands nobody.
//!
//! A secret that was handed out may never have arrived. So the one before it goes on serving until the new one
//! is first used, which proves that it arrived.

use std::hint::black_box;

use zeroize::Zeroizing;

use crate::{
    Expected, Secret,
    proof::{Operation, ProofHeader},
};

/// How many secrets serve at once, at most.
const SLOTS: usize = 3;
const SLOT_BYTES: usize = 1 + 32;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    secret: Secret,
    /// Whether a request under it was judged.
    proven: bool,
}

impl Slot {
    const fn unproven(secret: Secret) -> Self {
        Self { secret, proven: false }
    }
}

/// The secrets that serve an install, oldest first. The default serves nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(Vec<Slot>);

impl Secrets {
    /// Of a machine that is new, or was installed again: every secret before this one is dead.
    #[must_use]
    pub fn fresh(new: Secret) -> Self {
        Self(vec![Slot::unproven(new)])
    }

    /// Adds the secret for an activation that was retried. The newest proven and the newest unproven one go on
    /// serving, for the answer that was lost may be this one's, or the one before's.
    pub fn retry_activation(&mut self, new: Secret) {
        let newest = |proven| self.0.iter().rposition(|slot| slot.proven == proven);
        let kept = [newest(true), newest(false)];
        let mut index = 0..;
        self.0.retain(|_| kept.contains(&index.next()));
        self.0.push(Slot::unproven(new));
    }

    /// Adds the secret that a rekey under `used` asked for. Nothing but these two serves on: an unused one of an
    /// earlier rekey is replaced.
    pub fn rekey(&mut self, used: &Secret, new: Secret) {
        self.0.retain(|slot| slot.secret == *used);
        for slot in &mut self.0 {
            slot.proven = true;
        }
        self.0.push(Slot::unproven(new));
    }

    /// Notes that a request under this secret was judged; says whether that changed anything.
    ///
    /// The newest one's use is the end of all others; an older one's is the end of those proven before it.
    pub fn used(&mut self, used: &Secret) -> bool {
        let Some(index) = self.0.iter().position(|slot| slot.secret == *used) else { return false };
        let before = (self.0.len(), self.0[index].proven);
        self.0[index].proven = true;
        if index + 1 == self.0.len() {
            self.0.drain(..index);
        } else {
            let mut position = 0..;
            self.0.retain(|slot| position.next() >= Some(index) || !slot.proven);
        }
        before != (self.0.len(), true)
    }

    /// The secret that signed this, the newest tried first; see [`ProofHeader::verify`].
    ///
    /// A failure costs the same work whether three secrets serve or none: nobody learns from its time whether an
    /// install exists.
    #[must_use]
    pub fn verify(
        &self,
        header: &ProofHeader,
        operation: &Operation,
        body_sha256: &[u8; 32],
        now: i64,
    ) -> Option<&Secret> {
        let signed = |secret: &Secret| header.verify(secret, operation, body_sha256, now);
        let found = self.iter().find(|secret| signed(secret));
        if found.is_none() {
            for _ in self.0.len()..SLOTS {
                // Whatever a dummy says, it admits nobody.
                black_box(signed(&Secret::from_bytes([0; 32])));
            }
        }
        found
    }

    /// The secrets that serve, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter().map(|slot| &slot.secret).rev()
    }

    /// Whether a request under the newest one was judged; none: no secret serves.
    #[must_use]
    pub fn newest_is_proven(&self) -> Option<bool> {
        self.0.last().map(|slot| slot.proven)
    }

    /// The secrets as a column keeps them, sealed: of each one byte (1: proven) and its 32.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SLOTS * SLOT_BYTES));
        for slot in &self.0 {
            bytes.push(u8::from(slot.proven));
            bytes.extend_from_slice(slot.secret.as_bytes());
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Expected> {
        let (slots, rest) = bytes.as_chunks::<SLOT_BYTES>();
        let valid = slots.len() <= SLOTS && rest.is_empty() && slots.iter().all(|slot| slot[0] <= 1);
        let slot = |[flag, secret @ ..]: &[u8; SLOT_BYTES]| Slot {
            secret: Secret::from_bytes(*secret),
            proven: *flag == 1,
        };
        valid.then(|| Self(slots.iter().map(slot).collect())).ok_or(Expected("at most three secrets"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counter, InstallId, LicenseId, Nonce};

    const NOW: i64 = 1_790_000_123;

    fn secret(number: u8) -> Secret {
        Secret::from_bytes([number; 32])
    }

    /// Which secrets serve, the newest first.
    fn serving(secrets: &Secrets) -> Vec<u8> {
        secrets.iter().map(|secret| secret.as_bytes()[0]).collect()
    }

    #[test]
    fn a_rekey_ends_the_old_secret_by_the_new_ones_first_use() {
        let mut secrets = Secrets::fresh(secret(1));
        assert!(secrets.used(&secret(1)));
        assert!(!secrets.used(&secret(1)), "nothing to write a second time");
        secrets.rekey(&secret(1), secret(2));
        assert_eq!(serving(&secrets), [2, 1]);
        assert!(!secrets.used(&secret(1)), "however late the answer comes");
        secrets.rekey(&secret(1), secret(3));
        assert_eq!(serving(&secrets), [3, 1], "a lost answer's secret is replaced");
        assert!(secrets.used(&secret(3)));
        assert_eq!(serving(&secrets), [3]);
    }

    #[test]
    fn a_retried_activation_leaves_the_one_before_serving() {
        let mut secrets = Secrets::fresh(secret(1));
        secrets.retry_activation(secret(2));
        assert_eq!(serving(&secrets), [2, 1]);
        secrets.retry_activation(secret(3));
        assert_eq!(serving(&secrets), [3, 2]);
        secrets.used(&secret(3));
        assert_eq!(serving(&secrets), [3]);
    }

    #[test]
    fn an_activation_that_arrives_twice_strands_nobody() {
        let mut secrets = Secrets::fresh(secret(1));
        secrets.used(&secret(1));
        secrets.rekey(&secret(1), secret(2));
        // The duplicate comes while the agent holds 2 and hasn't used it.
        secrets.retry_activation(secret(3));
        assert_eq!(serving(&secrets), [3, 2, 1]);
        assert!(secrets.used(&secret(2)));
        assert_eq!(serving(&secrets), [3, 2], "1 is proven before 2");
        secrets.rekey(&secret(2), secret(4));
        assert_eq!(serving(&secrets), [4, 2]);
    }

    #[test]
    fn a_reinstall_is_the_end_of_every_other_secret() {
        assert_eq!(serving(&Secrets::fresh(secret(9))), [9]);
        assert!(serving(&Secrets::default()).is_empty());
    }

    #[test]
    fn the_newest_secret_that_signed_is_found() {
        let header = ProofHeader::unsigned(
            InstallId::new(1, [1; 10]),
            LicenseId::new(2, [2; 10]),
            Counter::MAX,
            Nonce::from_bytes(&[3; 16]).unwrap(),
        );
        let mut secrets = Secrets::fresh(secret(1));
        secrets.retry_activation(secret(2));
        let digest = [4; 32];
        let found = |secrets: &Secrets, by: &Secret| -> Option<u8> {
            let message = header.sign(by, &Operation::Rekey, NOW, b"");
            let body: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(b"").into();
            assert_eq!(secrets.verify(&message, &Operation::Rekey, &digest, NOW), None, "another body");
            secrets.verify(&message, &Operation::Rekey, &body, NOW).map(|secret| secret.as_bytes()[0])
        };
        assert_eq!(found(&secrets, &secret(1)), Some(1));
        assert_eq!(found(&secrets, &secret(2)), Some(2));
        assert_eq!(found(&secrets, &secret(3)), None);
        assert_eq!(found(&Secrets::default(), &secret(0)), None, "the dummy admits nobody");
        assert_eq!(found(&secrets, &secret(0)), None, "the dummy admits nobody");
    }

    #[test]
    fn bytes_read_back_and_other_bytes_do_not_read() {
        let mut secrets = Secrets::default();
        for number in 1..=4 {
            assert_eq!(Secrets::from_bytes(&secrets.to_bytes()), Ok(secrets.clone()));
            secrets.retry_activation(secret(number));
            if number == 1 {
                secrets.used(&secret(1));
            }
        }
        assert_eq!(secrets.to_bytes().len(), 3 * 33);
        for other in [vec![0], vec![0; 32], vec![0; 34], vec![2; 33], vec![0; 4 * 33]] {
            assert!(Secrets::from_bytes(&other).is_err());
        }
        assert!(!format!("{secrets:?}").contains('4'));
    }
}
