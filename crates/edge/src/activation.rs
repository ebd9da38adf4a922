//! A machine that becomes an install of a license, or comes back as the one that it was: what an activation and an
//! operator's answer to an offline request do alike, under the license's lock.

use policy::RequireApproval;
use protocol::activation::Activations;
use protocol::problem::Code;
use protocol::secrets::Secrets;
use protocol::{InstallId, Nonce, Secret};
use sha2::{Digest, Sha256};
use store::{Activated, Activation, Candidate, LicenseToActivate, Machine, Subject};

use crate::machine::same_machine;
use crate::{Edge, Refusal};

/// Who activates a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Whoever has the license key.
    Key,
    /// An operator too, who hands it an offline reply: that is the approval, and counts as no reactivation.
    Operator,
}

/// A machine that asks to be an install of a license, which isn't over.
pub struct Asking<'a> {
    /// The server.
    pub edge: &'a Edge,
    /// The transaction that holds the license's lock.
    pub activation: &'a Activation<'a>,
    /// The license.
    pub license: &'a LicenseToActivate,
    /// What the machine says of itself.
    pub machine: Machine<'a>,
    /// What tells this request from others.
    pub nonce: &'a Nonce,
    /// Who activates it.
    pub by: By,
    /// Now, Unix seconds.
    pub now: i64,
}

/// The one answer to a key that is malformed, unknown, revoked or expired.
pub fn refused() -> Refusal {
    Refusal::new(Code::LicenseRefused, "This license key activates nothing.")
}

/// Whether a license activates nothing any more: it is revoked, or has expired past its windows.
pub fn is_over(license: &LicenseToActivate, now: i64) -> bool {
    let profile = &license.profile.knobs.judging;
    let windows = profile.expiry_grace.saturating_add(profile.expiry_degraded);
    let expired = license.terms.expires_at.is_some_and(|end| now >= end.saturating_add(windows));
    license.terms.revoked_at.is_some() || expired
}

impl Asking<'_> {
    /// Makes the machine the install that it was, else a new one, which takes a seat. What comes back is heard of now and
    /// holds this secret; the activation's commit writes it.
    ///
    /// # Errors
    /// 403 when the machine's install is revoked, 409 when there is no seat for it or it comes back too often.
    pub async fn activate(&self, secret: Secret) -> Result<Subject, Refusal> {
        let candidates = self.activation.candidates(self.license.id, self.machine.fingerprint).await?;
        let known = same_machine(&candidates, self.machine.fingerprint, &self.license.profile.knobs);
        let mut subject = match known {
            Some(known) => self.again(known, secret).await?,
            None => self.anew(secret).await?,
        };
        subject.replay.activate(self.nonce, self.now);
        subject.hear(self.now);
        Ok(subject)
    }

    /// A machine that the license doesn't know: it takes a seat.
    async fn anew(&self, secret: Secret) -> Result<Subject, Refusal> {
        let seats = i64::from(self.license.terms.max_installs);
        if self.activation.seats_taken(self.license, self.now).await? >= seats {
            return Err(seats_exhausted());
        }
        let activated = Activated {
            nonce: self.digest(),
            awaiting_approval: self.awaits_approval().await?,
            reactivations: Vec::new(),
            next_reactivation_free: false,
        };
        let id = InstallId::from_uuid(self.edge.store.new_id());
        let (license, machine) = (self.license.id, &self.machine);
        let mut subject = self.activation.insert_install(id, license, self.now, machine, &activated).await?;
        subject.set_secrets(Some(Secrets::fresh(secret)));
        Ok(subject)
    }

    async fn awaits_approval(&self) -> Result<bool, Refusal> {
        Ok(match (self.by, self.license.profile.knobs.require_approval) {
            (By::Operator, _) | (By::Key, RequireApproval::No) => false,
            (By::Key, RequireApproval::Yes) => true,
            (By::Key, RequireApproval::AfterFirst(first)) => {
                self.activation.ever_activated(self.license.id).await? >= i64::from(first)
            }
        })
    }

    /// The same machine again: it keeps its install and its seat, and gets a new secret.
    async fn again(&self, known: &Candidate, secret: Secret) -> Result<Subject, Refusal> {
        if known.revoked_at.is_some() {
            return Err(refused());
        }
        let mut subject = self.activation.load_subject(known.id).await?;
        if subject.has_open_seat(self.now) {
            let seat = self.activation.seat_due(self.license, &subject, self.now).await?;
            if !seat.holds {
                return Err(seats_exhausted());
            }
            (subject.holds_seat, subject.seats_exceeded_at) = (true, seat.exceeded_at);
        }
        let (secrets, reactivations) = match self.by {
            By::Key => self.counted(known, subject.secrets.take(), secret)?,
            By::Operator => (Secrets::fresh(secret), known.reactivations.clone()),
        };
        subject.set_secrets(Some(secrets));
        subject.awaiting_approval &= self.by == By::Key;
        subject.observed.clone_from(self.machine.fingerprint);
        subject.instance_id = self.machine.instance_id.as_bytes().to_vec();
        subject.agent_version.clone_from(&self.machine.agent.version);
        subject.agent_platform.clone_from(&self.machine.agent.platform);
        subject.clock_skew = None;
        let activated = Activated {
            nonce: self.digest(),
            awaiting_approval: subject.awaiting_approval,
            reactivations,
            next_reactivation_free: self.by == By::Operator && known.next_reactivation_free,
        };
        self.activation.reactivate(known.id, self.now, &self.machine, &activated).await?;
        Ok(subject)
    }

    /// The secrets that serve after another activation by the license key, and when those were that count.
    fn counted(
        &self,
        known: &Candidate,
        secrets: Option<Secrets>,
        secret: Secret,
    ) -> Result<(Secrets, Vec<i64>), Refusal> {
        let activations = Activations {
            last_digest: &known.activation_nonce,
            last_at: known.activation_at,
            counted: &known.reactivations,
            next_is_free: known.next_reactivation_free,
        };
        let bound = self.license.profile.knobs.reactivations_per_month;
        let (how, counted) = activations.again(&self.digest(), self.now, bound).ok_or_else(|| {
            let detail = "This machine was activated too often lately; an operator can reset it.";
            Refusal::new(Code::ReactivationLimit, detail)
        })?;
        Ok((how.secrets(secrets, secret), counted))
    }

    /// What a retry after a lost answer has in common with what it repeats. An operator's answer has no retries.
    fn digest(&self) -> [u8; 32] {
        let lines = self.machine.fingerprint.lines();
        let parts: [&[u8]; 3] = [self.nonce.as_bytes(), lines.as_bytes(), b"offline"];
        digest(if self.by == By::Key { &parts[..2] } else { &parts })
    }
}

fn seats_exhausted() -> Refusal {
    Refusal::new(Code::SeatsExhausted, "Every seat of this license is taken.")
}

/// SHA-256 over parts, each with its length before it.
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
