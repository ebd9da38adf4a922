//! Everything that may happen within these scopes, and every promise holds. `QT_MODEL_DEEPER` and `QT_MODEL_SECONDS` go
//! further: see the package's README.

use std::{env, str::FromStr, time::Duration};

use model::{
    Scope,
    Situation::{
        self, Accepted, Activated, ActivationNeeded, Cleared, Fork, Overtaken, Rekeyed, Replayed, Retried,
        Stale, TooOften, Unproven,
    },
    explore,
};

/// What a variable says, if it is set.
fn number<N: FromStr>(name: &str) -> Option<N> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} isn't a number that can be taken: {value:?}")))
}

/// Tries everything in a scope, in which these situations come up.
fn holds(scope: Scope, situations: &[Situation]) {
    let deeper: u8 = number("QT_MODEL_DEEPER").unwrap_or(0);
    let longest = number("QT_MODEL_SECONDS").map(Duration::from_secs);
    let name = scope.name;
    let found = explore(&scope.deeper(deeper), None, longest);
    assert!(found.broken.is_none(), "{name}\n{found}");
    assert!(found.exhausted || longest.is_some());
    for situation in situations {
        assert!(found.has(*situation) || !found.exhausted, "{name}: {situation:?} never came up");
    }
}

#[test]
fn an_agent_on_a_bad_network_before_two_processes() {
    let scope = Scope { operations: 4, batches: true, ..Scope::new("bad network") };
    holds(scope, &[Accepted, Replayed, Stale, Unproven, Overtaken, Rekeyed]);
}

#[test]
fn an_agent_while_proofs_and_nonces_grow_old() {
    let scope = Scope { ticks: 3, rekeys: false, ..Scope::new("old proofs") };
    holds(scope, &[Accepted, Replayed, Stale, Unproven, Overtaken]);
}

#[test]
fn an_agent_that_gets_new_secrets_over_two_spans_of_time() {
    let scope = Scope { operations: 4, ticks: 1, ..Scope::new("rekeys") };
    holds(scope, &[Accepted, Replayed, Stale, Unproven, Overtaken, Rekeyed]);
}

#[test]
fn an_agent_that_is_judged_too_often() {
    let scope = Scope { used_up: true, ticks: 1, rekeys: false, ..Scope::new("used up") };
    holds(scope, &[Accepted, Replayed, Stale, TooOften, Overtaken]);
}

/// The agent has no license key, so whatever becomes of the answers, it must never need another activation.
#[test]
fn an_activation_whose_answers_get_lost() {
    let scope = Scope { activated: false, activations: 2, ticks: 1, ..Scope::new("activation") };
    holds(scope, &[Accepted, Replayed, Stale, Overtaken, Rekeyed, Activated, Retried]);
}

#[test]
fn an_agent_that_activates_again_and_again() {
    let scope = Scope {
        operations: 4,
        activated: false,
        key_kept: true,
        reinstalls: 1,
        activations: 3,
        ..Scope::new("reinstalls")
    };
    holds(
        scope,
        &[Accepted, Replayed, Stale, Unproven, Overtaken, Rekeyed, Activated, Retried, ActivationNeeded],
    );
}

/// Time enough that a repeated activation is no retry any more.
#[test]
fn an_agent_whose_activation_is_repeated_late() {
    let scope = Scope {
        operations: 2,
        activated: false,
        key_kept: true,
        reinstalls: 1,
        activations: 3,
        ticks: 2,
        ..Scope::new("late activations")
    };
    holds(scope, &[Accepted, Replayed, Unproven, Overtaken, Activated, Retried, ActivationNeeded]);
}

#[test]
fn an_agent_and_its_copy() {
    let scope = Scope { operations: 2, copy_operations: 2, copies: 1, ..Scope::new("copy") };
    holds(scope, &[Accepted, Replayed, Stale, Fork, Overtaken, Rekeyed, ActivationNeeded]);
}

#[test]
fn an_agent_and_its_copy_that_overtake_each_other() {
    let scope = Scope { copy_operations: 2, copies: 1, rekeys: false, ..Scope::new("long race") };
    holds(scope, &[Accepted, Replayed, Stale, Fork, Overtaken]);
}

/// The copy's wall clock is an hour behind: its first proof is of another time, and it sends another.
#[test]
fn an_agent_with_a_key_and_its_copy_on_a_machine_with_a_wrong_clock() {
    let scope = Scope {
        operations: 2,
        copy_operations: 1,
        copies: 1,
        copy_clock: -3600,
        key_kept: true,
        activations: 2,
        ..Scope::new("copy with a key")
    };
    holds(scope, &[Accepted, Replayed, Stale, Fork, Unproven, Overtaken, Activated, ActivationNeeded]);
}

#[test]
fn two_agents_and_a_copy_of_one() {
    let scope = Scope {
        machines: 2,
        operations: 1,
        copy_operations: 1,
        copies: 1,
        batches: true,
        ..Scope::new("two agents")
    };
    holds(scope, &[Accepted, Replayed, Fork, Overtaken, Rekeyed]);
}

#[test]
fn an_agent_whose_old_state_is_restored() {
    let scope = Scope {
        ticks: 1,
        images: 1,
        key_kept: true,
        activations: 2,
        clearings: 1,
        ..Scope::new("restored image")
    };
    holds(
        scope,
        &[Accepted, Stale, Fork, Unproven, Overtaken, Rekeyed, Activated, ActivationNeeded, Cleared],
    );
}
