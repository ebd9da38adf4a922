//! Why the engine says what it says: the fourteen rules one by one, each with the values that it compares.
//!
//! Here each rule stands for itself, whatever the ones before it say. The first that holds is the one that
//! [`evaluate`](crate::evaluate) decides by, which a property test holds it to.

use crate::engine::{Breach, Case, drifts};
use crate::{CloneAction, Compared, Comparison, Facts, Profile, Rule, compare, score};

/// A rule, and whether its own condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// Which.
    pub rule: Rule,
    /// Whether its own condition holds.
    pub matched: bool,
    /// The values that were compared.
    pub because: String,
}

/// Says an instant, Unix seconds, for people.
pub type Telling<'a> = &'a dyn Fn(i64) -> String;

/// All fourteen rules at an instant, in their order.
pub fn trace(facts: &Facts, profile: &Profile, at: i64, tell: Telling<'_>) -> Vec<Traced> {
    let case = Case::new(facts, profile);
    let mut all = fixed(facts, profile);
    let starts = facts.license_start;
    let order = if at < starts { "before" } else { "not before" };
    let because = format!("{} is {order} the license's start, {}", tell(at), tell(starts));
    all.push(traced(7, at < starts, because));
    let score = score(&facts.bound, &facts.observed, &profile.weights);
    let because = format!("score {score}, min_match {}", profile.min_match.to_json());
    all.push(traced(8, case.mismatched, format!("{because}{}", mismatches(facts, profile))));
    all.extend(breaches(&case, at, tell));
    all.push(leased(&case, at, tell));
    all.push(drift(facts, profile, &score));
    let before = all.iter().find(|traced| traced.matched).map(|traced| traced.rule);
    let because = before.map_or_else(
        || "no other rule holds".to_owned(),
        |rule| format!("rule {rule} holds, and comes first"),
    );
    all.push(traced(14, before.is_none(), because));
    all
}

fn traced(rule: u8, matched: bool, because: impl Into<String>) -> Traced {
    Traced { rule: Rule::known(rule), matched, because: because.into() }
}

/// Rules 1 to 6.
fn fixed(facts: &Facts, profile: &Profile) -> Vec<Traced> {
    let is = |rule, is: bool, who: &str, what: &str| {
        traced(rule, is, format!("{who} is {}{what}", if is { "" } else { "not " }))
    };
    let suspected = if facts.clone_suspected { "a clone is suspected" } else { "no clone is suspected" };
    let action = profile.clone_action.as_str();
    let waits =
        if facts.awaiting_approval { "it waits for approval" } else { "it doesn't wait for approval" };
    vec![
        is(1, facts.license_revoked, "the license", "revoked"),
        is(2, facts.install_revoked, "the install", "revoked"),
        is(3, facts.license_suspended, "the license", "suspended"),
        is(4, facts.install_suspended, "the install", "suspended"),
        traced(
            5,
            facts.clone_suspected && profile.clone_action == CloneAction::Quarantine,
            format!("{suspected}, clone_action is {action}"),
        ),
        traced(6, facts.awaiting_approval, waits),
    ]
}

/// The bound components that don't match: `; mac differs, board is missing (weight 3)`.
fn mismatches(facts: &Facts, profile: &Profile) -> String {
    let compared = compare(&facts.bound, &facts.observed, &profile.weights);
    let one = |compared: &Compared<'_>| {
        let how = match compared.comparison() {
            Comparison::Differs => "differs",
            Comparison::Missing => "is missing",
            Comparison::Matches | Comparison::Unbound => return None,
        };
        let weight =
            if compared.weight == 1 { String::new() } else { format!(" (weight {})", compared.weight) };
        Some(format!("{} {how}{weight}", compared.name))
    };
    let all: Vec<_> = compared.iter().filter_map(one).collect();
    if all.is_empty() { String::new() } else { format!("; {}", all.join(", ")) }
}

/// Rules 9 to 11: each holds if it does of any breach.
fn breaches(case: &Case<'_>, at: i64, tell: Telling<'_>) -> [Traced; 3] {
    let all: Vec<&Breach> = case.breaches().collect();
    let held = case.is_held(at);
    let hold =
        case.facts.held_until.map_or_else(String::new, |until| format!("; hold until {}", tell(until)));
    let any = |holds: &dyn Fn(&Breach) -> bool| all.iter().any(|breach| holds(breach));
    let of = |bound: &dyn Fn(&Breach) -> i64, (past, future): (&str, &str)| {
        let one = |breach: &&Breach| {
            let (reason, bound) = (breach.reason.as_str(), bound(breach));
            format!("{reason} {} {}", if at >= bound { past } else { future }, tell(bound))
        };
        let said: Vec<String> = all.iter().map(one).collect();
        format!("{}{hold}", said.join(", "))
    };
    [
        traced(
            9,
            !held && any(&|breach| at >= breach.locks),
            of(&|breach| breach.locks, ("locked", "locks")),
        ),
        traced(
            10,
            !held && any(&|breach| at >= breach.grace_ends),
            of(&|breach| breach.grace_ends, ("degraded", "degrades")),
        ),
        traced(11, any(&|breach| at >= breach.begins), of(&|breach| breach.begins, ("began", "begins"))),
    ]
}

/// Rule 12.
fn leased(case: &Case<'_>, at: i64, tell: Telling<'_>) -> Traced {
    let silent = if at >= case.silent_from { "silent since" } else { "silent from" };
    let lease = match case.facts.lease_end {
        None => "no lease is in force".to_owned(),
        Some(end) if at < end => format!("a lease runs until {}", tell(end)),
        Some(end) => format!("a lease ended {}", tell(end)),
    };
    let matched = at >= case.silent_from && case.facts.lease_end.is_some_and(|end| at < end);
    traced(12, matched, format!("{silent} {}, {lease}", tell(case.silent_from)))
}

/// Rule 13.
fn drift(facts: &Facts, profile: &Profile, score: &crate::Score) -> Traced {
    let skew = facts.clock_skew.map_or_else(|| "unknown".to_owned(), |skew| format!("{skew} s"));
    let version = facts.agent_version.as_deref().unwrap_or("unknown");
    let least = profile.min_agent_version.as_deref().unwrap_or("none");
    let clone = if facts.clone_suspected { "a clone is suspected" } else { "no clone is suspected" };
    let because = format!(
        "score {score} of 1, clock skew {skew} against max_clock_skew {} s, agent {version} against min_agent_version \
         {least}, {clone} with clone_action {}",
        profile.max_clock_skew,
        profile.clone_action.as_str()
    );
    traced(13, drifts(facts, profile, score.is_full()).is_some(), because)
}

#[cfg(test)]
mod tests {
    use super::trace;
    use crate::{Facts, Knobs};

    fn because(facts: &Facts, rule: u8, at: i64) -> (bool, String) {
        let profile = Knobs::default().judging;
        let all = trace(facts, &profile, at, &|instant| format!("t{instant}"));
        assert_eq!(all.len(), 14);
        let one = all.into_iter().find(|traced| traced.rule.number() == rule).unwrap();
        (one.matched, one.because)
    }

    #[test]
    fn each_rule_says_what_it_compared() {
        let facts = Facts {
            license_start: 100,
            license_end: Some(10_000),
            last_contact: 1_000,
            clock_skew: Some(-7),
            agent_version: Some("1.2.3".to_owned()),
            bound: [("mac".to_owned(), "a".to_owned()), ("board".to_owned(), "b".to_owned())]
                .into_iter()
                .collect(),
            observed: [("mac".to_owned(), "a".to_owned())].into_iter().collect(),
            ..Facts::default()
        };
        for (rule, at, matched, said) in [
            (1, 0, false, "the license is not revoked"),
            (5, 0, false, "no clone is suspected, clone_action is warn"),
            (7, 99, true, "t99 is before the license's start, t100"),
            (7, 100, false, "t100 is not before the license's start, t100"),
            (8, 0, true, "score 1/2, min_match 0.6; board is missing"),
            (9, 0, false, "license_expired locks t1219600, out_of_contact locks t1214200"),
            (11, 10_000, true, "license_expired began t10000, out_of_contact began t4600"),
            (12, 0, false, "silent from t4600, no lease is in force"),
            (14, 0, false, "rule 7 holds, and comes first"),
        ] {
            assert_eq!(because(&facts, rule, at), (matched, said.to_owned()), "rule {rule} at {at}");
        }
        let drift = because(&facts, 13, 0).1;
        assert!(
            drift.contains("score 1/2 of 1, clock skew -7 s against max_clock_skew 300 s, agent 1.2.3"),
            "{drift}"
        );
    }

    #[test]
    fn a_hold_keeps_nine_and_ten_from_holding() {
        let facts = Facts {
            license_end: Some(0),
            held_until: Some(2_000_000),
            last_contact: 2_000_000,
            ..Facts::default()
        };
        assert!(!because(&facts, 9, 1_900_000).0 && !because(&facts, 10, 1_900_000).0);
        let (matched, said) = because(&facts, 11, 1_900_000);
        assert!(matched && said.ends_with("; hold until t2000000"), "{said}");
        assert!(because(&facts, 9, 2_000_000).0);
    }
    #[test]
    fn a_lease_runs_until_its_end_and_has_ended_from_then_on() {
        let facts = Facts { lease_end: Some(100), ..Facts::default() };
        for (at, said) in
            [(99, "a lease runs until t100"), (100, "a lease ended t100"), (101, "a lease ended t100")]
        {
            let because = because(&facts, 12, at).1;
            assert!(because.ends_with(said), "{at}: {because}");
        }
    }
}
