//! What holds, as programs in any language read it.

use std::fmt;

use policy::{Rung, State};
use protocol::{Fingerprint, InstallId, LeaseId, LicenseId, claims::ReasonCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{clock::Reading, core::Core};

/// What holds at an instant. Times are Unix seconds of the server's clock, as far as it is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The state; `None`: not activated.
    pub state: Option<State>,
    /// The rule that gave it, 1 to 14; 0 is the agent's own.
    pub rule: Option<u8>,
    /// Why: a stable code.
    pub reason: Option<String>,
    /// The instant that this is about.
    pub at: i64,
    /// Who this machine is.
    pub install_id: Option<InstallId>,
    /// The license that it is activated with.
    pub license_id: Option<LicenseId>,
    /// When the newest verified decision or lease was made.
    pub last_contact: Option<i64>,
    /// When the next heartbeat is due.
    pub next_heartbeat_at: Option<i64>,
    /// What the newest verified decision or lease says will hold from which time on, if nothing more is heard.
    pub ladder: Vec<Rung<ReasonCode>>,
    /// The offline lease that is in force, as far as this machine knows.
    pub lease: Option<LeaseStatus>,
    /// The license's entitlements, a JSON object.
    pub entitlements: Option<Box<RawValue>>,
    /// The server doesn't know this install: it has to be activated again.
    pub activation_needed: bool,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<String>,
}

/// An offline lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// Which.
    pub id: LeaseId,
    /// Its end.
    pub until: i64,
}

impl Status {
    /// What there is to say of a machine that isn't activated. Its own clock is the only one there is.
    pub fn not_activated(at: i64) -> Self {
        Self {
            state: None,
            rule: None,
            reason: None,
            at,
            install_id: None,
            license_id: None,
            last_contact: None,
            next_heartbeat_at: None,
            ladder: Vec::new(),
            lease: None,
            entitlements: None,
            activation_needed: true,
            last_error: None,
        }
    }

    /// What holds at this reading, on a machine that shows this of itself.
    pub(crate) fn of(core: &Core, reading: &Reading, machine: impl FnOnce() -> Option<Fingerprint>) -> Self {
        let mut status = Self::not_activated(reading.unix);
        status.last_error.clone_from(&core.last_error);
        if let (Some(install), Some(verdict), Some((position, time))) =
            (core.install(), core.verdict(), core.position(reading, machine))
        {
            status.state = Some(position.state);
            status.rule = Some(position.rule);
            status.reason = Some(position.reason.to_owned());
            status.at = time.unix();
            status.install_id = Some(install.id);
            status.license_id = Some(install.license_id);
            status.last_contact = Some(install.last_contact);
            status.next_heartbeat_at = Some(install.next_heartbeat_at);
            status.ladder = verdict.ladder.to_vec();
            status.lease = core.lease_in_force(&time).map(|(id, until)| LeaseStatus { id, until });
            status.entitlements = in_one_line(verdict.entitlements);
            status.activation_needed = install.activation_needed;
        }
        status
    }

    /// What makes a change of state when it changes.
    pub(crate) fn position(&self) -> Said {
        (self.state, self.rule, self.reason.clone(), self.activation_needed)
    }
}

/// State, rule, reason, and whether activation is needed.
pub(crate) type Said = (Option<State>, Option<u8>, Option<String>, bool);

impl fmt::Display for Status {
    /// The JSON, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// The same JSON without line breaks, which stand only between its tokens.
fn in_one_line(json: &RawValue) -> Option<Box<RawValue>> {
    RawValue::from_string(json.get().replace(['\n', '\r'], " ")).ok()
}
