//! What is judged: an install with its license and profile, and what comes of a contact with it.

use std::sync::Arc;

use policy::{Decision, Facts, Knobs};
use protocol::admin::InstallStatus;
use protocol::admission::{Admitted, Memory};
use protocol::rate::Rate;
use protocol::replay::ReplayState;
use protocol::secrets::Secrets;
use protocol::{Fingerprint, InstallId, LeaseId, LicenseId, ProductCode, ProfileId, Secret};

use crate::lease::{LeaseChange, LiveLease};

/// A published version of an enforcement profile, parsed.
#[derive(Debug)]
pub struct PublishedProfile {
    /// The profile.
    pub id: ProfileId,
    /// The version's number, from 1.
    pub number: i32,
    /// What it says.
    pub knobs: Knobs,
}

/// What a license says, as far as its installs' judgement goes.
#[derive(Debug, Clone)]
pub struct LicenseTerms {
    /// The product that fingerprints and tokens are bound to.
    pub product: ProductCode,
    /// How many installs may hold a seat.
    pub max_installs: i32,
    /// First instant of the term.
    pub starts_at: i64,
    /// End of the term; none: it has no end.
    pub expires_at: Option<i64>,
    /// Its own cap on leases, seconds; none: no cap of its own.
    pub lease_max_seconds: Option<i64>,
    /// A JSON object, handed on in tokens as it stands.
    pub entitlements: Box<serde_json::value::RawValue>,
    /// Since when an operator has suspended it.
    pub suspended_at: Option<i64>,
    /// Since when it is revoked.
    pub revoked_at: Option<i64>,
}

/// An install with its license and profile: everything that a judgement reads, and what a contact changes.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column or says that one has changed")]
pub struct Subject {
    /// The install.
    pub id: InstallId,
    /// Its license.
    pub license_id: LicenseId,
    /// The license's terms.
    pub terms: LicenseTerms,
    /// The profile that judges.
    pub profile: Arc<PublishedProfile>,
    /// First activation; the order of seats.
    pub activated_at: i64,
    /// Waits for an operator.
    pub awaiting_approval: bool,
    /// Suspended by an operator.
    pub suspended_at: Option<i64>,
    /// Revoked by an operator.
    pub revoked_at: Option<i64>,
    /// Left by its own agent.
    pub deactivated_at: Option<i64>,
    /// The fingerprint that it is bound to.
    pub bound: Fingerprint,
    /// What proofs are checked against; none after a reset or a deactivation.
    pub secrets: Option<Secrets>,
    /// When drift was last learned.
    pub drift_learned_at: Option<i64>,
    /// Since when a second holder of the secret is suspected.
    pub clone_suspected_at: Option<i64>,
    /// Holds a seat (unless silence has released it since).
    pub holds_seat: bool,
    /// Since when it is over its license's seats.
    pub seats_exceeded_at: Option<i64>,
    /// The newest fingerprint observed.
    pub observed: Fingerprint,
    /// The newest process's instance id.
    pub instance_id: Vec<u8>,
    /// The newest agent version.
    pub agent_version: String,
    /// The newest agent platform.
    pub agent_platform: String,
    /// The newest clock skew, seconds: the agent's clock minus ours.
    pub clock_skew: Option<i64>,
    /// Counters and nonces.
    pub replay: ReplayState,
    /// How often it is judged.
    pub rate: Rate,
    /// When something of it was last accepted.
    pub last_contact: i64,
    /// The lease in force when something of it was last accepted.
    pub lease: Option<LiveLease>,
    /// Until when it gets no other, because an operator has revoked one.
    pub lease_barred_until: Option<i64>,
    /// When the database was last restored from a backup: older proofs may have been accepted before, and forgotten.
    pub restored_at: Option<i64>,
    /// Until when the operator's incident hold lasts, or lasted.
    pub held_until: Option<i64>,
    /// What `install_states` says of it.
    pub(crate) shown: String,
    /// Whether a second holder of the secret was suspected when it was read.
    pub(crate) was_suspected: bool,
    /// The lease that it had when it was read.
    pub(crate) lease_before: Option<LeaseId>,
    pub(crate) revision: i64,
    pub(crate) secrets_changed: bool,
    pub(crate) bound_changed: bool,
    pub(crate) lease_change: Option<LeaseChange>,
}

impl Subject {
    /// The engine's facts of an install that was last heard of at `last_contact`.
    pub fn facts(&self) -> Facts {
        Facts {
            license_revoked: self.terms.revoked_at.is_some(),
            install_revoked: self.revoked_at.is_some(),
            license_suspended: self.terms.suspended_at.is_some(),
            install_suspended: self.suspended_at.is_some(),
            clone_suspected: self.clone_suspected_at.is_some(),
            awaiting_approval: self.awaiting_approval,
            license_start: self.terms.starts_at,
            license_end: self.terms.expires_at,
            bound: self.bound.as_policy().clone(),
            observed: self.observed.as_policy().clone(),
            seats_exceeded_at: self.seats_exceeded_at,
            last_contact: self.last_contact,
            lease_end: self.lease.map(|lease| lease.ends_at),
            clock_skew: self.clock_skew,
            agent_version: Some(self.agent_version.clone()),
            held_until: self.held_until,
        }
    }

    /// What has become of it.
    pub fn status(&self) -> InstallStatus {
        if self.revoked_at.is_some() {
            InstallStatus::Revoked
        } else if self.deactivated_at.is_some() {
            InstallStatus::Deactivated
        } else if self.suspended_at.is_some() {
            InstallStatus::Suspended
        } else if self.awaiting_approval {
            InstallStatus::Pending
        } else {
            InstallStatus::Active
        }
    }

    /// Replaces the secrets; the next commit seals and writes them.
    pub fn set_secrets(&mut self, secrets: Option<Secrets>) {
        self.secrets = secrets;
        self.secrets_changed = true;
    }

    /// Gives a new secret to whoever proved by `used`, which goes on serving until the new one does.
    pub fn rekey(&mut self, used: &Secret, new: Secret) {
        if let Some(secrets) = &mut self.secrets {
            secrets.rekey(used, new);
            self.secrets_changed = true;
        }
    }

    /// Takes in a request that was admitted: from here on it is judged. What its secret's use ends is over with the
    /// next commit.
    pub fn enter(&mut self, admitted: &Admitted, now: i64) {
        let memory = Memory {
            secrets: self.secrets.as_mut(),
            replay: &mut self.replay,
            rate: &mut self.rate,
            clone_suspected_at: &mut self.clone_suspected_at,
        };
        self.secrets_changed |= admitted.enter(memory, now);
        self.hear(now);
    }

    /// Binds another fingerprint; the next commit writes it.
    pub fn bind(&mut self, fingerprint: Fingerprint) {
        self.bound = fingerprint;
        self.bound_changed = true;
    }

    /// Whether silence has released the seat by `now` (policy: `release_silent_after`). While a lease runs its seat stays
    /// taken.
    pub fn is_released(&self, now: i64) -> bool {
        if self.lease.as_ref().is_some_and(|lease| lease.runs(now)) {
            return false;
        }
        self.profile
            .knobs
            .release_silent_after
            .is_some_and(|after| self.last_contact.saturating_add(after) <= now)
    }
}

/// What a row of the audit log says came of a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Judged and done.
    Accepted,
    /// Judged with the clone fact set: a second holder of the secret.
    Clone,
    /// Judged and forbidden.
    Refused,
}

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Clone => "clone",
            Self::Refused => "refused",
        }
    }
}

/// A row of the audit log in the making.
#[derive(Debug, Clone)]
pub struct Audit {
    /// When it was judged.
    pub at: i64,
    /// `heartbeat`, `activate`, `rekey`, `deactivate`, …
    pub operation: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// The request's counter; 0 for an activation.
    pub counter: u64,
    /// The decision.
    pub decision: Decision,
    /// Skew of this request's clock.
    pub clock_skew: Option<i64>,
}

/// A judged install: the subject as it shall be, and the rows of the audit log that belong to it.
#[derive(Debug)]
pub struct Contact {
    /// The subject, changed.
    pub subject: Subject,
    /// At least one.
    pub audit: Vec<Audit>,
}
