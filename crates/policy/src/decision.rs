//! What the engine says: a state, the rule that gave it, the reason, and how long that holds.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::named::named;

named! {
    /// What an install is, from best to worst: the order is the severity.
    State, "state" {
        /// Everything is in order.
        Authorized = "authorized",
        /// In order, but something drifts.
        Warned = "warned",
        /// Silent, and covered by an offline lease.
        Leased = "leased",
        /// A breach has begun.
        Grace = "grace",
        /// A breach is older than its grace window.
        Degraded = "degraded",
        /// Waits: for an operator, or for the license's start.
        Pending = "pending",
        /// A breach is older than all its windows, or this is another machine.
        Locked = "locked",
        /// A second holder of its secret is suspected.
        Quarantined = "quarantined",
        /// Suspended by an operator.
        Suspended = "suspended",
        /// Revoked for good.
        Revoked = "revoked",
    }
}

named! {
    /// Why a rule matched.
    Reason, "reason" {
        /// Rule 1.
        LicenseRevoked = "license_revoked",
        /// Rule 2.
        InstallRevoked = "install_revoked",
        /// Rule 3.
        LicenseSuspended = "license_suspended",
        /// Rule 4.
        InstallSuspended = "install_suspended",
        /// Rules 5 and 13.
        CloneSuspected = "clone_suspected",
        /// Rule 6.
        AwaitingApproval = "awaiting_approval",
        /// Rule 7.
        LicenseNotStarted = "license_not_started",
        /// Rule 8.
        FingerprintMismatch = "fingerprint_mismatch",
        /// Rules 9 to 11: the license has ended.
        LicenseExpired = "license_expired",
        /// Rules 9 to 11: more installs than seats.
        SeatsExceeded = "seats_exceeded",
        /// Rules 9 to 11: silent for too long.
        OutOfContact = "out_of_contact",
        /// Rule 12.
        OfflineLease = "offline_lease",
        /// Rule 13.
        FingerprintDrift = "fingerprint_drift",
        /// Rule 13.
        ClockSkew = "clock_skew",
        /// Rule 13.
        AgentOutdated = "agent_outdated",
        /// Rule 14.
        Ok = "ok",
    }
}

/// The number of a rule, 1 to 14.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule(u8);

impl Rule {
    /// The rule of a number, if there is one.
    pub const fn new(number: u8) -> Option<Self> {
        if 1 <= number && number <= 14 { Some(Self(number)) } else { None }
    }

    pub(crate) const fn known(number: u8) -> Self {
        assert!(1 <= number && number <= 14, "there are fourteen rules");
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u8::deserialize(deserializer)?).ok_or_else(|| serde::de::Error::custom("a rule is 1 to 14"))
    }
}

/// The judgement of an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The state.
    pub state: State,
    /// The rule that gave it: the first that matched.
    pub rule: Rule,
    /// Why it matched.
    pub reason: Reason,
    /// Seconds until the agent should be heard of again.
    pub next_heartbeat: i64,
    /// For how many seconds a token may say this.
    pub token_ttl: i64,
}

/// A later instant at which state, rule or reason change. In JSON `[at, state, rule, reason]`. `R` is how the reason is
/// known: whoever reads what a later version wrote knows the name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung<R = Reason> {
    /// From when on.
    pub at: i64,
    /// The state from then on.
    pub state: State,
    /// Its rule.
    pub rule: Rule,
    /// Its reason.
    pub reason: R,
}

impl<R: Serialize> Serialize for Rung<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.at, self.state, self.rule, &self.reason).serialize(serializer)
    }
}

impl<'de, R: Deserialize<'de>> Deserialize<'de> for Rung<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (at, state, rule, reason) = Deserialize::deserialize(deserializer)?;
        Ok(Self { at, state, rule, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;

    #[test]
    fn a_rule_is_a_number_from_1_to_14() {
        assert_eq!((Rule::new(0), Rule::new(15)), (None, None));
        let rules: Vec<_> = (1..=14).filter_map(Rule::new).map(|rule| rule.to_string()).collect();
        assert_eq!(rules.join(" "), "1 2 3 4 5 6 7 8 9 10 11 12 13 14");
    }
}
