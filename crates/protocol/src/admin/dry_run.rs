//! A dry run: what publishing a version of a profile would change, told before it is done.

use std::cmp::{Ordering, Reverse};

use policy::{Decision, Reason, Rule, State};
use serde::{Deserialize, Serialize};

use super::Time;
use crate::json::Reader;
use crate::{InstallId, LicenseId, ProfileId};

/// How many installs are named of each change.
const NAMED: usize = 10;

/// What is to be foretold: `POST /v1/admin/profiles/{id}/versions/{n}/dry-run`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DryRunRequest {
    /// As if the version were published to so many installs in a hundred; left out: to all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100, nullable = false))]
    pub percent: Option<i32>,
    /// The instant to judge, from now to 90 days ahead, as if nothing more were heard until then; left out: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub at: Option<Time>,
}

impl DryRunRequest {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        let percent = root.member("percent").or_missing(|percent| percent.integer(1..=100));
        let at = root.member("at").or_missing(Time::read);
        let (percent, at) = (percent?, at?);
        Some(Self { percent: percent.and_then(|percent| i32::try_from(percent).ok()), at })
    }
}

/// A state, the rule that gives it, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verdict {
    /// The state.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::state))]
    pub state: State,
    /// The rule that gives it.
    #[cfg_attr(feature = "openapi", schema(value_type = u8, minimum = 1, maximum = 14))]
    pub rule: Rule,
    /// Why.
    #[cfg_attr(feature = "openapi", schema(schema_with = super::schemas::reason))]
    pub reason: Reason,
}

impl From<Decision> for Verdict {
    fn from(Decision { state, rule, reason, .. }: Decision) -> Self {
        Self { state, rule, reason }
    }
}

/// An install that would be told something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ForetoldInstall {
    /// Its id.
    pub install_id: InstallId,
    /// Its license.
    pub license_id: LicenseId,
    /// What its agent calls the machine.
    pub name: Option<String>,
}

/// Installs that would all go from one verdict to the same other one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ForetoldChange {
    /// What the version says that judges them now.
    pub from: Verdict,
    /// What would be said of them.
    pub to: Verdict,
    /// How many they are.
    pub installs: i64,
    /// The first ten of them.
    pub examples: Vec<ForetoldInstall>,
}

/// What publishing a version would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DryRun {
    /// The profile.
    pub profile_id: ProfileId,
    /// The version that was tried.
    pub number: i32,
    /// On how many installs in a hundred.
    pub percent: i32,
    /// The instant judged.
    pub at: Time,
    /// How many installs were looked at.
    pub installs: i64,
    /// Of those: nothing changes for them.
    pub unchanged: i64,
    /// The same state, by another rule or for another reason.
    pub same_state: i64,
    /// Another state: `better` and `worse` together.
    pub changed: i64,
    /// A better state.
    pub better: i64,
    /// A worse state.
    pub worse: i64,
    /// Installs whose seat the version's `release_silent_after` would release, and which hold one now.
    pub seats_released: i64,
    /// From what to what, the worse ones first.
    pub changes: Vec<ForetoldChange>,
    /// What else the version's knobs change, which no judgement of today's facts shows.
    pub notes: Vec<String>,
    /// What to ask with for the installs that were not looked at yet, whose counts are to be added to these; null: it
    /// was all of them.
    pub next_cursor: Option<String>,
}

impl DryRun {
    /// One that has looked at nobody.
    pub fn new(profile_id: ProfileId, number: i32, percent: i32, at: i64) -> Self {
        Self {
            profile_id,
            number,
            percent,
            at: Time(at),
            installs: 0,
            unchanged: 0,
            same_state: 0,
            changed: 0,
            better: 0,
            worse: 0,
            seats_released: 0,
            changes: Vec::new(),
            notes: Vec::new(),
            next_cursor: None,
        }
    }

    /// Counts an install, which is asked for only where it may be named.
    pub fn count(&mut self, from: Verdict, to: Verdict, install: impl FnOnce() -> ForetoldInstall) {
        self.installs += 1;
        if from == to {
            self.unchanged += 1;
            return;
        }
        match to.state.cmp(&from.state) {
            Ordering::Less => self.better += 1,
            Ordering::Equal => self.same_state += 1,
            Ordering::Greater => self.worse += 1,
        }
        self.changed = self.better + self.worse;
        let change = self.change(from, to);
        change.installs += 1;
        if change.examples.len() < NAMED {
            change.examples.push(install());
        }
    }

    /// Adds the counts of a part that was asked for with this one's `next_cursor`.
    pub fn add(&mut self, next: Self) {
        for (sum, more) in [
            (&mut self.installs, next.installs),
            (&mut self.unchanged, next.unchanged),
            (&mut self.same_state, next.same_state),
            (&mut self.changed, next.changed),
            (&mut self.better, next.better),
            (&mut self.worse, next.worse),
            (&mut self.seats_released, next.seats_released),
        ] {
            *sum += more;
        }
        for more in next.changes {
            let change = self.change(more.from, more.to);
            change.installs += more.installs;
            let room = NAMED.saturating_sub(change.examples.len());
            change.examples.extend(more.examples.into_iter().take(room));
        }
        self.next_cursor = next.next_cursor;
        self.sort();
    }

    /// Puts the worse ones first, and of those the worst.
    pub fn sort(&mut self) {
        self.changes.sort_by_key(|change| {
            let ForetoldChange { from, to, .. } = change;
            (from.state.cmp(&to.state), Reverse(to.state), *from, *to)
        });
    }

    /// The line of a change. There are few: verdicts are a rule and a reason, and rules have few reasons.
    fn change(&mut self, from: Verdict, to: Verdict) -> &mut ForetoldChange {
        let known = self.changes.iter().position(|change| (change.from, change.to) == (from, to));
        let index = known.unwrap_or_else(|| {
            self.changes.push(ForetoldChange { from, to, installs: 0, examples: Vec::new() });
            self.changes.len() - 1
        });
        &mut self.changes[index]
    }
}

#[cfg(test)]
mod tests {
    use policy::{Reason, Rule, State};

    use super::{DryRun, ForetoldInstall, NAMED, Verdict};
    use crate::{InstallId, LicenseId, ProfileId};

    const OK: Verdict = verdict(State::Authorized, 14, Reason::Ok);
    const OLD: Verdict = verdict(State::Warned, 13, Reason::AgentOutdated);
    const SKEWED: Verdict = verdict(State::Warned, 13, Reason::ClockSkew);
    const LOCKED: Verdict = verdict(State::Locked, 8, Reason::FingerprintMismatch);

    const fn verdict(state: State, rule: u8, reason: Reason) -> Verdict {
        Verdict { state, rule: Rule::new(rule).unwrap(), reason }
    }

    fn run(verdicts: &[(Verdict, Verdict)]) -> DryRun {
        let uuid = uuid::Uuid::nil();
        let mut run = DryRun::new(ProfileId::from_uuid(uuid), 2, 100, 0);
        for (from, to) in verdicts {
            run.count(*from, *to, || ForetoldInstall {
                install_id: InstallId::from_uuid(uuid),
                license_id: LicenseId::from_uuid(uuid),
                name: None,
            });
        }
        run.sort();
        run
    }

    #[test]
    fn each_is_counted_once_and_the_worst_change_comes_first() {
        let run = run(&[(OK, OK), (LOCKED, OK), (OK, OLD), (OLD, SKEWED), (OK, LOCKED), (OK, OLD)]);
        let counts = [run.installs, run.unchanged, run.same_state, run.changed, run.better, run.worse];
        assert_eq!(counts, [6, 1, 1, 4, 1, 3]);
        let lines: Vec<_> = run.changes.iter().map(|line| (line.from, line.to, line.installs)).collect();
        assert_eq!(lines, [(OK, LOCKED, 1), (OK, OLD, 2), (OLD, SKEWED, 1), (LOCKED, OK, 1)]);
    }

    #[test]
    fn parts_add_up_to_the_whole_and_few_are_named() {
        let all: Vec<_> = std::iter::repeat_n([(OK, OLD), (OK, OK), (LOCKED, OK)], 12).flatten().collect();
        for cut in 0..=all.len() {
            let mut sum = run(&all[..cut]);
            sum.add(run(&all[cut..]));
            assert_eq!(sum, run(&all), "{cut}");
        }
        assert!(run(&all).changes.iter().all(|change| change.examples.len() == NAMED));
    }
}
