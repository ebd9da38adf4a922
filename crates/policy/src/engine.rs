//! The fourteen rules.
//!
//! What doesn't depend on the instant (rules 1 to 6, 8, 13 and 14) is judged once; what does is a handful of bounds.
//! INVARIANT(bounds): a judgement changes at a bound only, so whoever looks at the bounds has looked at all instants.

use crate::version::is_older;
use crate::{CloneAction, Decision, Facts, Profile, Reason, Rule, Rung, State, score};

/// A state, its rule and its reason.
type Verdict = (State, Rule, Reason);

const fn verdict(state: State, rule: u8, reason: Reason) -> Verdict {
    (state, Rule::known(rule), reason)
}

/// Judges an instant.
pub fn evaluate(facts: &Facts, profile: &Profile, at: i64) -> Decision {
    Case::new(facts, profile).decide(at)
}

/// The later instants, after `from`, at which state, rule or reason change if nothing more is heard.
pub fn ladder(facts: &Facts, profile: &Profile, from: i64) -> Vec<Rung> {
    let case = Case::new(facts, profile);
    let mut bounds: Vec<i64> = case.bounds().filter(|at| *at > from).collect();
    bounds.sort_unstable();
    let mut last = case.verdict(from, Hearing::Silent);
    let mut rungs = Vec::new();
    for at in bounds {
        let next = case.verdict(at, Hearing::Silent);
        if next != last {
            let (state, rule, reason) = next;
            rungs.push(Rung { at, state, rule, reason });
            last = next;
        }
    }
    rungs
}

/// Whether silence is judged too, or left aside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hearing {
    Silent,
    Heard,
}

/// Something wrong that has a beginning: grace, then degraded, then locked.
#[derive(Clone, Copy)]
pub(crate) struct Breach {
    pub(crate) reason: Reason,
    pub(crate) begins: i64,
    pub(crate) grace_ends: i64,
    pub(crate) locks: i64,
}

impl Breach {
    fn new(reason: Reason, begins: i64, grace: i64, degraded: i64) -> Self {
        let grace_ends = begins.saturating_add(grace);
        Self { reason, begins, grace_ends, locks: grace_ends.saturating_add(degraded) }
    }

    /// Rules 9 to 11, the first that matches.
    fn verdict(&self, at: i64, held: bool) -> Option<Verdict> {
        if at < self.begins {
            None
        } else if at >= self.locks && !held {
            Some(verdict(State::Locked, 9, self.reason))
        } else if at >= self.grace_ends && !held {
            Some(verdict(State::Degraded, 10, self.reason))
        } else {
            Some(verdict(State::Grace, 11, self.reason))
        }
    }
}

/// Facts and a profile, with what is the same at every instant judged already.
pub(crate) struct Case<'a> {
    pub(crate) facts: &'a Facts,
    profile: &'a Profile,
    /// Rules 1 to 6.
    fixed: Option<Verdict>,
    /// Rule 8.
    pub(crate) mismatched: bool,
    /// Rule 13, else 14.
    calm: Verdict,
    expiry: Option<Breach>,
    overage: Option<Breach>,
    silence: Breach,
    /// From when on there is silence.
    pub(crate) silent_from: i64,
}

impl<'a> Case<'a> {
    pub(crate) fn new(facts: &'a Facts, profile: &'a Profile) -> Self {
        let score = score(&facts.bound, &facts.observed, &profile.weights);
        let silent_from =
            facts.last_contact.saturating_add(profile.silence_tolerance).max(facts.last_contact);
        let silence_begins = facts.lease_end.map_or(silent_from, |end| end.max(silent_from));
        Self {
            facts,
            profile,
            fixed: fixed(facts, profile),
            mismatched: !score.reaches(profile.min_match),
            calm: calm(facts, profile, score.is_full()),
            expiry: facts.license_end.map(|end| {
                Breach::new(Reason::LicenseExpired, end, profile.expiry_grace, profile.expiry_degraded)
            }),
            overage: facts.seats_exceeded_at.map(|at| {
                Breach::new(Reason::SeatsExceeded, at, profile.overage_grace, profile.overage_degraded)
            }),
            silence: Breach::new(
                Reason::OutOfContact,
                silence_begins,
                profile.silence_grace,
                profile.silence_degraded,
            ),
            silent_from,
        }
    }

    /// The rules in their order; the first that matches wins.
    fn verdict(&self, at: i64, hearing: Hearing) -> Verdict {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        if at < self.facts.license_start {
            return verdict(State::Pending, 7, Reason::LicenseNotStarted);
        }
        if self.mismatched {
            return verdict(State::Locked, 8, Reason::FingerprintMismatch);
        }
        if let Some(breach) = self.worst_breach(at, hearing) {
            return breach;
        }
        let leased = self.facts.lease_end.is_some_and(|end| at < end);
        if hearing == Hearing::Silent && leased && at >= self.silent_from {
            return verdict(State::Leased, 12, Reason::OfflineLease);
        }
        self.calm
    }

    /// Rules 9 to 11: of several breaches the worst, of equals the first.
    fn worst_breach(&self, at: i64, hearing: Hearing) -> Option<Verdict> {
        let held = self.is_held(at);
        self.breaches()
            .filter(|breach| hearing == Hearing::Silent || breach.reason != Reason::OutOfContact)
            .filter_map(|breach| breach.verdict(at, held))
            .reduce(|worst, next| if next.0 > worst.0 { next } else { worst })
    }

    /// Every breach, in the order of the table, whether or not it has begun.
    pub(crate) fn breaches(&self) -> impl Iterator<Item = &Breach> {
        [self.expiry.as_ref(), self.overage.as_ref(), Some(&self.silence)].into_iter().flatten()
    }

    /// Whether the operator's incident switch holds.
    pub(crate) fn is_held(&self, at: i64) -> bool {
        self.facts.held_until.is_some_and(|until| at < until)
    }

    fn decide(&self, at: i64) -> Decision {
        let (state, rule, reason) = self.verdict(at, Hearing::Silent);
        let pace = self.profile.cadence.pace(state);
        // The first later instant at which the same facts, silence aside, are worse than what is said now.
        let worse = |bound: &i64| *bound > at && self.verdict(*bound, Hearing::Heard).0 > state;
        let left = self.heard_bounds().filter(worse).min().map(|bound| bound.saturating_sub(at));
        let next_heartbeat = left.map_or(pace.interval, |left| pace.interval.min(left.saturating_add(5)));
        let token_ttl = left.map_or(pace.token_ttl, |left| pace.token_ttl.min(left));
        Decision { state, rule, reason, next_heartbeat: next_heartbeat.max(1), token_ttl: token_ttl.max(1) }
    }

    /// Every instant at which a verdict may change, silence aside.
    fn heard_bounds(&self) -> impl Iterator<Item = i64> {
        let of = |breach: Option<Breach>| {
            breach.into_iter().flat_map(|breach| [breach.begins, breach.grace_ends, breach.locks])
        };
        std::iter::once(self.facts.license_start)
            .chain(self.facts.held_until)
            .chain(of(self.expiry))
            .chain(of(self.overage))
            // What stands fast has no bounds.
            .filter(|_| self.fixed.is_none())
    }

    /// Every instant at which a verdict may change.
    fn bounds(&self) -> impl Iterator<Item = i64> {
        let silence = [self.silent_from, self.silence.begins, self.silence.grace_ends, self.silence.locks];
        self.heard_bounds().chain(silence).chain(self.facts.lease_end)
    }
}

/// Rules 1 to 6: what no instant changes.
fn fixed(facts: &Facts, profile: &Profile) -> Option<Verdict> {
    if facts.license_revoked {
        Some(verdict(State::Revoked, 1, Reason::LicenseRevoked))
    } else if facts.install_revoked {
        Some(verdict(State::Revoked, 2, Reason::InstallRevoked))
    } else if facts.license_suspended {
        Some(verdict(State::Suspended, 3, Reason::LicenseSuspended))
    } else if facts.install_suspended {
        Some(verdict(State::Suspended, 4, Reason::InstallSuspended))
    } else if facts.clone_suspected && profile.clone_action == CloneAction::Quarantine {
        Some(verdict(State::Quarantined, 5, Reason::CloneSuspected))
    } else if facts.awaiting_approval {
        Some(verdict(State::Pending, 6, Reason::AwaitingApproval))
    } else {
        None
    }
}

/// Rules 13 and 14.
fn calm(facts: &Facts, profile: &Profile, full_score: bool) -> Verdict {
    drifts(facts, profile, full_score)
        .map_or(verdict(State::Authorized, 14, Reason::Ok), |reason| verdict(State::Warned, 13, reason))
}

/// What drifts, the first in the order of the table.
pub(crate) fn drifts(facts: &Facts, profile: &Profile, full_score: bool) -> Option<Reason> {
    let skewed =
        || facts.clock_skew.is_some_and(|skew| i128::from(skew).abs() > i128::from(profile.max_clock_skew));
    let outdated = || match (&facts.agent_version, &profile.min_agent_version) {
        (Some(version), Some(least)) => is_older(version, least),
        _ => false,
    };
    if !full_score {
        Some(Reason::FingerprintDrift)
    } else if skewed() {
        Some(Reason::ClockSkew)
    } else if outdated() {
        Some(Reason::AgentOutdated)
    } else if facts.clone_suspected && profile.clone_action == CloneAction::Warn {
        Some(Reason::CloneSuspected)
    } else {
        None
    }
}
