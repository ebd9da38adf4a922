//! Where on a ladder an agent stands. Pure.

use policy::{Reason, Rung, State};
use protocol::claims::ReasonCode;

use crate::timekeeping::LadderTime;

/// What holds at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position<'a> {
    /// The state.
    pub state: State,
    /// The rule that gave it, 1 to 14; 0 is the agent's own.
    pub rule: u8,
    /// Why: a stable code.
    pub reason: &'a str,
}

impl<'a> Position<'a> {
    /// A lease is held that is for another machine: what a server would say of this one.
    pub(crate) const ELSEWHERE: Self =
        Self { state: State::Locked, rule: 8, reason: Reason::FingerprintMismatch.as_str() };

    const fn new(state: State, rule: policy::Rule, reason: &'a str) -> Self {
        Self { state, rule: rule.number(), reason }
    }
}

/// The decision until the first rung, then the last rung reached; `locked` by rule 0 where the wall clock was turned
/// back.
pub fn position<'a>(
    decided: (State, policy::Rule, &'a str),
    ladder: &'a [Rung<ReasonCode>],
    time: &LadderTime,
) -> Position<'a> {
    if time.is_turned_back() {
        return Position { state: State::Locked, rule: 0, reason: "clock_rollback" };
    }
    let (state, rule, reason) = decided;
    let reached = ladder.iter().rfind(|rung| rung.at <= time.unix());
    reached.map_or(Position::new(state, rule, reason), |rung| {
        Position::new(rung.state, rung.rule, rung.reason.as_str())
    })
}

/// The instant at which the position changes next, Unix seconds.
pub fn next_rung(ladder: &[Rung<ReasonCode>], time: &LadderTime) -> Option<i64> {
    ladder.iter().map(|rung| rung.at).filter(|at| *at > time.unix()).min()
}

#[cfg(test)]
mod tests {
    use policy::Rule;
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Reading;

    fn time(unix: i64) -> LadderTime {
        LadderTime::heard(unix, Reading { unix: 0, monotonic_ms: 0, boot_id: "boot".into() })
    }

    fn rule(number: u8) -> Rule {
        Rule::new(number).unwrap()
    }

    const OK: &str = Reason::Ok.as_str();

    fn authorized() -> (State, Rule, &'static str) {
        (State::Authorized, rule(14), OK)
    }

    fn three_rungs() -> Vec<Rung<ReasonCode>> {
        let states = [(100, State::Grace, 11), (200, State::Degraded, 10), (300, State::Locked, 9)];
        states
            .map(|(at, state, number)| Rung {
                at,
                state,
                rule: rule(number),
                reason: Reason::OutOfContact.into(),
            })
            .to_vec()
    }

    #[test]
    fn the_decision_holds_until_the_first_rung_and_an_instant_that_equals_a_rung_is_past_it() {
        let states = [0, 99, 100, 199, 200, 299, 300, i64::MAX]
            .map(|at| position(authorized(), &three_rungs(), &time(at)).state.as_str());
        let expected =
            ["authorized", "authorized", "grace", "grace", "degraded", "degraded", "locked", "locked"];
        assert_eq!(states, expected);
        assert_eq!(
            [99, 100, 300].map(|at| next_rung(&three_rungs(), &time(at))),
            [Some(100), Some(200), None]
        );
    }

    #[test]
    fn a_clock_that_was_turned_back_locks_by_rule_0() {
        let reading = |boot: &str, unix| Reading { unix, monotonic_ms: 0, boot_id: boot.into() };
        let time = LadderTime::heard(50, reading("a", 10_000)).at(&reading("b", 1));
        let locked = Position { state: State::Locked, rule: 0, reason: "clock_rollback" };
        assert_eq!(position(authorized(), &three_rungs(), &time), locked);
    }

    proptest! {
        #[test]
        fn between_two_rungs_nothing_changes(at in 0_i64..400) {
            let ladder = three_rungs();
            let now = position(authorized(), &ladder, &time(at));
            let until = next_rung(&ladder, &time(at)).unwrap_or(500);
            prop_assert_eq!(now, position(authorized(), &ladder, &time(until - 1)));
            prop_assert!(until == 500 || now != position(authorized(), &ladder, &time(until)));
        }
    }
}
