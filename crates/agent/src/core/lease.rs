//! The lease that is held, and when it counts.

use policy::{Reason, State};
use protocol::{Fingerprint, LeaseId, claims::VerifiedLease, response::CompactJose};
use serde::{Deserialize, Serialize};

use super::{Core, Known};
use crate::timekeeping::LadderTime;

/// A lease as it is kept: opened, so that it outlives the secret that opened it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeptLease {
    pub(crate) signed: CompactJose,
    /// It came after the token. This decides only where both have the same `iat`.
    pub(crate) came_later: bool,
}

impl Core {
    /// The lease that is held, whether it is in force or not.
    pub(crate) fn lease(&self) -> Option<LeaseId> {
        self.known.as_ref()?.lease.as_ref().map(|lease| lease.jti)
    }

    /// The lease that is in force at a time, as far as the agent knows, and its end.
    pub(crate) fn lease_in_force(&self, time: &LadderTime) -> Option<(LeaseId, i64)> {
        let known = self.known.as_ref()?;
        let lease = known.lease.as_ref()?;
        let is_over = lease.exp <= time.unix() || known.is_lease_denied(lease);
        (!is_over).then_some((lease.jti, lease.exp))
    }
}

impl Known {
    /// The lease, where it is the newest verified thing: by `iat`, and of equals the one that came later.
    pub(super) fn newest_lease(&self) -> Option<&VerifiedLease> {
        let came_later = self.install.lease.as_ref().is_some_and(|kept| kept.came_later);
        let is_newest = |lease: &&VerifiedLease| match lease.iat.cmp(&self.decision.iat) {
            std::cmp::Ordering::Equal => came_later,
            other => other.is_gt(),
        };
        self.lease.as_ref().filter(is_newest)
    }

    /// The lease, where what holds rests on it: it is the newest verified thing, or the newest decision's ladder has
    /// reached a rung that it gave.
    pub(super) fn counting_lease(&self, time: &LadderTime) -> Option<&VerifiedLease> {
        let reached = |lease: &&VerifiedLease| {
            let mut rungs = self.decision.ladder.iter();
            !self.is_lease_denied(lease)
                && rungs.any(|rung| rung.state == State::Leased && rung.at <= time.unix())
        };
        self.newest_lease().or_else(|| self.lease.as_ref().filter(reached))
    }

    /// Whether a newer decision knows nothing of the lease: it lets silence count before the lease's end. So an
    /// operator's revocation is heard.
    fn is_lease_denied(&self, lease: &VerifiedLease) -> bool {
        let mut rungs = self.decision.ladder.iter();
        self.newest_lease().is_none()
            && rungs.any(|rung| rung.reason == Reason::OutOfContact && rung.at < lease.exp)
    }
}

/// Whether a machine is the one that a lease is for. One that shows nothing matches nothing.
pub(super) fn is_for(lease: &VerifiedLease, machine: Option<Fingerprint>) -> bool {
    let observed = machine.map(|machine| machine.as_policy().clone()).unwrap_or_default();
    policy::score(lease.fp.as_policy(), &observed, &lease.weights).reaches(lease.min_match)
}
