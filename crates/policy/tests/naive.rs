//! A second interpreter of the rules, written as the page reads, slow and obvious; and the engine held against it, and
//! against the properties that hold for every input, over generated cases that favour boundaries.
//!
//! `QT_POLICY_CASES` is how many cases, 1,000,000 where it isn't set.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use policy::{
    CloneAction, Decision, Facts, Fingerprint, MinMatch, Profile, Reason, Rung, State, evaluate, ladder,
    trace,
};

/// The splitmix64 generator: cases repeat themselves by their number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()].clone()
    }

    /// Few instants, close together, so that bounds meet; now and then the ends of the range.
    fn instant(&mut self) -> i64 {
        if self.one_in(50) {
            self.of(&[0, (1 << 53) - 1])
        } else {
            1000 + i64::try_from(self.below(60)).unwrap()
        }
    }

    fn span(&mut self) -> i64 {
        if self.one_in(50) { (1 << 53) - 1 } else { self.of(&[0, 0, 1, 2, 5, 10, 20]) }
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.one_in(2) { None } else { Some(make(self)) }
    }

    fn fingerprint(&mut self) -> Fingerprint {
        let mut components = Fingerprint::new();
        for name in ["a", "b", "c"] {
            if !self.one_in(4) {
                components.insert(name.to_owned(), self.of(&["1", "1", "1", "2"]).to_owned());
            }
        }
        components
    }

    fn case(&mut self) -> (Facts, Profile, i64) {
        let version = |dice: &mut Self| {
            dice.of(&["1.2.3", "1.2.4", "1.2.4-rc.1", "1.10.0", "no", "18446744073709551616.0.0"]).to_owned()
        };
        let facts = Facts {
            license_revoked: self.one_in(16),
            install_revoked: self.one_in(16),
            license_suspended: self.one_in(16),
            install_suspended: self.one_in(16),
            clone_suspected: self.one_in(4),
            awaiting_approval: self.one_in(16),
            license_start: if self.one_in(2) { 0 } else { self.instant() },
            license_end: self.maybe(Self::instant),
            bound: self.fingerprint(),
            observed: self.fingerprint(),
            seats_exceeded_at: self.maybe(Self::instant),
            last_contact: self.instant(),
            lease_end: self.maybe(Self::instant),
            clock_skew: self.maybe(|dice| dice.of(&[-6, -5, 0, 5, 6, -((1 << 53) - 1)])),
            agent_version: self.maybe(version),
            held_until: if self.one_in(4) { Some(self.instant()) } else { None },
        };
        let min_match = MinMatch::parse(self.of(&["0", "0.333", "0.334", "0.5", "0.667", "1"])).unwrap();
        let mut profile = Profile {
            min_match,
            clone_action: self.of(&[CloneAction::Ignore, CloneAction::Warn, CloneAction::Quarantine]),
            silence_tolerance: self.span(),
            silence_grace: self.span(),
            silence_degraded: self.span(),
            expiry_grace: self.span(),
            expiry_degraded: self.span(),
            overage_grace: self.span(),
            overage_degraded: self.span(),
            max_clock_skew: 5,
            min_agent_version: self.maybe(version),
            ..Profile::default()
        };
        for name in ["a", "b"] {
            if self.one_in(3) {
                profile.weights.insert(name.to_owned(), self.of(&[0, 1, 2, (1 << 53) - 1]));
            }
        }
        if self.one_in(2) {
            for state in State::ALL {
                profile.cadence.set(*state, policy::Pace { interval: self.span(), token_ttl: self.span() });
            }
        }
        (facts, profile, self.instant())
    }
}

type Said = (State, u8, Reason);

/// A breach: its reason, its beginning and its two windows.
type Breach = (Reason, i128, i128, i128);

fn breaches(facts: &Facts, profile: &Profile, silence: bool) -> Vec<Breach> {
    let wide = i128::from;
    let mut all = Vec::new();
    if let Some(end) = facts.license_end {
        all.push((
            Reason::LicenseExpired,
            wide(end),
            wide(profile.expiry_grace),
            wide(profile.expiry_degraded),
        ));
    }
    if let Some(at) = facts.seats_exceeded_at {
        all.push((
            Reason::SeatsExceeded,
            wide(at),
            wide(profile.overage_grace),
            wide(profile.overage_degraded),
        ));
    }
    if silence {
        let quiet = wide(facts.last_contact) + wide(profile.silence_tolerance);
        let begins = facts.lease_end.map_or(quiet, |end| quiet.max(wide(end)));
        all.push((Reason::OutOfContact, begins, wide(profile.silence_grace), wide(profile.silence_degraded)));
    }
    all
}

/// The fourteen rules, one after another, each a row.
fn rules(facts: &Facts, profile: &Profile, at: i128, silence: bool) -> Vec<(u8, bool, State, Reason)> {
    let breaches = breaches(facts, profile, silence);
    let held = facts.held_until.is_some_and(|until| at < i128::from(until));
    let first = |phase: &dyn Fn(&Breach) -> bool| breaches.iter().find(|b| phase(b)).map(|b| b.0);
    let locked = first(&|(_, begins, grace, degraded)| !held && at >= begins + grace + degraded);
    let degraded = first(&|(_, begins, grace, _)| !held && at >= begins + grace);
    let begun = first(&|(_, begins, _, _)| at >= *begins);
    let (mut matched, mut total) = (0_u128, 0_u128);
    for (name, value) in facts.bound.iter() {
        let weight = u128::from(profile.weights.get(name).copied().unwrap_or(1));
        total += weight;
        matched += if facts.observed.get(name) == Some(value) { weight } else { 0 };
    }
    let score_below = |thousandths: u128| total != 0 && matched * 1000 < thousandths * total;
    let older = |version: &Option<String>, least: &Option<String>| {
        // By hand, over the few versions that the cases have.
        let order = ["1.2.3", "1.2.4-rc.1", "1.2.4", "1.10.0", "18446744073709551616.0.0"];
        let place = |text: &Option<String>| {
            text.as_ref().and_then(|text| order.iter().position(|known| known == text))
        };
        matches!((place(version), place(least)), (Some(version), Some(least)) if version < least)
    };
    let quiet_from = i128::from(facts.last_contact) + i128::from(profile.silence_tolerance);
    let leased = silence && at >= quiet_from && facts.lease_end.is_some_and(|end| at < i128::from(end));
    let drift = if score_below(1000) {
        Some(Reason::FingerprintDrift)
    } else if facts.clock_skew.is_some_and(|skew| i128::from(skew).abs() > i128::from(profile.max_clock_skew))
    {
        Some(Reason::ClockSkew)
    } else if older(&facts.agent_version, &profile.min_agent_version) {
        Some(Reason::AgentOutdated)
    } else {
        (facts.clone_suspected && profile.clone_action == CloneAction::Warn).then_some(Reason::CloneSuspected)
    };
    let or_ok = |reason: Option<Reason>| reason.unwrap_or(Reason::Ok);
    vec![
        (1, facts.license_revoked, State::Revoked, Reason::LicenseRevoked),
        (2, facts.install_revoked, State::Revoked, Reason::InstallRevoked),
        (3, facts.license_suspended, State::Suspended, Reason::LicenseSuspended),
        (4, facts.install_suspended, State::Suspended, Reason::InstallSuspended),
        (
            5,
            facts.clone_suspected && profile.clone_action == CloneAction::Quarantine,
            State::Quarantined,
            Reason::CloneSuspected,
        ),
        (6, facts.awaiting_approval, State::Pending, Reason::AwaitingApproval),
        (7, at < i128::from(facts.license_start), State::Pending, Reason::LicenseNotStarted),
        (
            8,
            score_below(u128::from(profile.min_match.thousandths())),
            State::Locked,
            Reason::FingerprintMismatch,
        ),
        (9, locked.is_some(), State::Locked, or_ok(locked)),
        (10, degraded.is_some(), State::Degraded, or_ok(degraded)),
        (11, begun.is_some(), State::Grace, or_ok(begun)),
        (12, leased, State::Leased, Reason::OfflineLease),
        (13, drift.is_some(), State::Warned, or_ok(drift)),
        (14, true, State::Authorized, Reason::Ok),
    ]
}

fn say(facts: &Facts, profile: &Profile, at: i128, silence: bool) -> Said {
    let rules = rules(facts, profile, at, silence);
    let (rule, _, state, reason) = rules.into_iter().find(|rule| rule.1).unwrap();
    (state, rule, reason)
}

/// Every instant that is named anywhere, and those beside it.
fn instants(facts: &Facts, profile: &Profile) -> Vec<i128> {
    let mut all: Vec<i128> = vec![i128::from(facts.license_start)];
    all.extend(facts.held_until.map(i128::from));
    all.extend(facts.lease_end.map(i128::from));
    all.push(i128::from(facts.last_contact) + i128::from(profile.silence_tolerance));
    for (_, begins, grace, degraded) in breaches(facts, profile, true) {
        all.extend([begins, begins + grace, begins + grace + degraded]);
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn naive_evaluate(facts: &Facts, profile: &Profile, at: i64) -> (Said, i128, i128) {
    let at = i128::from(at);
    let said = say(facts, profile, at, true);
    let pace = profile.cadence.pace(said.0);
    let worse = |later: &&i128| **later > at && say(facts, profile, **later, false).0 > said.0;
    let (mut next, mut ttl) = (i128::from(pace.interval), i128::from(pace.token_ttl));
    if let Some(bound) = instants(facts, profile).iter().find(worse) {
        next = next.min(bound - at + 5);
        ttl = ttl.min(bound - at);
    }
    (said, next.max(1), ttl.max(1))
}

fn naive_ladder(facts: &Facts, profile: &Profile, from: i64) -> Vec<(i128, Said)> {
    let mut last = say(facts, profile, i128::from(from), true);
    let mut rungs = Vec::new();
    for at in instants(facts, profile).into_iter().filter(|at| *at > i128::from(from)) {
        let next = say(facts, profile, at, true);
        if next != last {
            rungs.push((at, next));
            last = next;
        }
    }
    rungs
}

fn said(decision: &Decision) -> (Said, i128, i128) {
    let said = (decision.state, decision.rule.number(), decision.reason);
    (said, decision.next_heartbeat.into(), decision.token_ttl.into())
}

fn rung(rung: &Rung) -> (i128, Said) {
    (rung.at.into(), (rung.state, rung.rule.number(), rung.reason))
}

fn cases() -> u64 {
    std::env::var("QT_POLICY_CASES").ok().map_or(1_000_000, |count| count.parse().unwrap())
}

#[test]
fn the_engine_says_what_the_naive_interpreter_says() {
    let mut seen = [0_u64; 15];
    for number in 0..cases() {
        let (facts, profile, at) = Dice(number).case();
        let decision = evaluate(&facts, &profile, at);
        seen[usize::from(decision.rule.number())] += 1;
        assert_eq!(
            said(&decision),
            naive_evaluate(&facts, &profile, at),
            "case {number}: {facts:?} {profile:?} {at}"
        );
        let rungs: Vec<_> = ladder(&facts, &profile, at).iter().map(rung).collect();
        assert_eq!(rungs, naive_ladder(&facts, &profile, at), "case {number}: {facts:?} {profile:?} {at}");
    }
    assert!(seen[1..].iter().all(|count| *count > 0), "every rule decided some case: {seen:?}");
}

#[test]
fn of_the_traced_rules_the_first_that_holds_is_the_one_that_decides() {
    for number in 0..cases() / 10 {
        let (facts, profile, at) = Dice(number).case();
        let traced = trace(&facts, &profile, at, &|instant| instant.to_string());
        assert_eq!(
            traced.iter().map(|traced| traced.rule.number()).collect::<Vec<_>>(),
            (1..=14).collect::<Vec<_>>()
        );
        let first = traced.iter().find(|traced| traced.matched).map(|traced| traced.rule);
        let decided = evaluate(&facts, &profile, at).rule;
        assert_eq!(first, Some(decided), "case {number}: {facts:?} {profile:?} {at} {traced:?}");
        // Each for itself, but the last, which holds when no other does.
        let matched: Vec<_> = traced.iter().map(|traced| traced.matched).collect();
        let naive = rules(&facts, &profile, i128::from(at), true);
        let naive: Vec<_> = naive.iter().map(|(_, matched, ..)| *matched).collect();
        assert_eq!(matched[..13], naive[..13], "case {number}: {facts:?} {profile:?} {at} {traced:?}");
    }
}

#[test]
fn revocation_dominates() {
    for number in 0..cases() / 10 {
        let (mut facts, profile, at) = Dice(number).case();
        facts.install_revoked = true;
        let decision = evaluate(&facts, &profile, at);
        let expected =
            if facts.license_revoked { (1, Reason::LicenseRevoked) } else { (2, Reason::InstallRevoked) };
        assert_eq!(
            (decision.state, decision.rule.number(), decision.reason),
            (State::Revoked, expected.0, expected.1)
        );
    }
}

#[test]
fn time_only_worsens_for_a_license_that_has_started() {
    for number in 0..cases() / 10 {
        let (mut facts, profile, at) = Dice(number).case();
        facts.license_start = 0;
        // The operator's switch is the one thing that ends by itself, and then things get worse.
        let mut state = evaluate(&facts, &profile, at).state;
        for rung in ladder(&facts, &profile, at) {
            assert!(rung.state >= state, "case {number}: {rung:?} after {state}");
            state = rung.state;
        }
    }
}

#[test]
fn the_ladder_is_evaluate_made_piecewise() {
    for number in 0..cases() / 10 {
        let (facts, profile, from) = Dice(number).case();
        let rungs = ladder(&facts, &profile, from);
        for at in from..from + 100 {
            let decision = evaluate(&facts, &profile, at);
            let held = rungs.iter().rev().find(|rung| rung.at <= at);
            let held = held.map_or_else(|| said(&evaluate(&facts, &profile, from)).0, |held| rung(held).1);
            assert_eq!(said(&decision).0, held, "case {number} at {at}");
        }
    }
}

#[test]
fn a_looser_knob_never_gives_a_worse_state() {
    for number in 0..cases() / 10 {
        let mut dice = Dice(number);
        let (facts, profile, at) = dice.case();
        let mut looser = profile.clone();
        match dice.below(7) {
            0 => looser.silence_tolerance += 3,
            1 => looser.silence_grace += 3,
            2 => looser.expiry_degraded += 3,
            3 => looser.max_clock_skew += 1,
            4 => looser.min_agent_version = None,
            5 => looser.min_match = MinMatch::parse("0").unwrap(),
            _ => looser.clone_action = CloneAction::Ignore,
        }
        let (before, after) = (evaluate(&facts, &profile, at).state, evaluate(&facts, &looser, at).state);
        assert!(after <= before, "case {number}: {before} became {after}");
    }
}

#[test]
fn no_token_says_authorized_when_the_same_facts_silence_aside_are_worse() {
    for number in 0..cases() / 10 {
        let (facts, profile, at) = Dice(number).case();
        let decision = evaluate(&facts, &profile, at);
        if decision.state != State::Authorized {
            continue;
        }
        for later in instants(&facts, &profile) {
            if later > i128::from(at) && later < i128::from(at) + i128::from(decision.token_ttl) {
                assert_eq!(
                    say(&facts, &profile, later, false).0,
                    State::Authorized,
                    "case {number} at {later}"
                );
            }
        }
    }
}

#[test]
fn nothing_that_the_types_allow_makes_the_engine_panic() {
    let extremes = [i64::MIN, -1, 0, 1, i64::MAX];
    for number in 0..100_000 {
        let mut dice = Dice(number);
        let (mut facts, mut profile, _) = dice.case();
        facts.license_start = dice.of(&extremes);
        facts.license_end = Some(dice.of(&extremes));
        facts.seats_exceeded_at = Some(dice.of(&extremes));
        facts.last_contact = dice.of(&extremes);
        facts.lease_end = Some(dice.of(&extremes));
        facts.clock_skew = Some(dice.of(&extremes));
        profile.silence_tolerance = dice.of(&extremes);
        profile.silence_grace = dice.of(&extremes);
        profile.expiry_grace = dice.of(&extremes);
        profile.max_clock_skew = dice.of(&extremes);
        let at = dice.of(&extremes);
        let decision = evaluate(&facts, &profile, at);
        assert!(decision.next_heartbeat >= 1 && decision.token_ttl >= 1);
        ladder(&facts, &profile, at);
    }
}
