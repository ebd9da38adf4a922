//! The model notices when a rule isn't kept: for each rule the shortest way to where a promise breaks, and that the same
//! scope holds where the rule is kept.

use model::{Broken, Promise, Scope, explore};

/// Breaks a rule, finds this promise broken after so many events, and gives the way there.
fn breaks(rule: Broken, scope: &Scope, promise: Promise, events: usize) -> String {
    let kept = explore(scope, None, None);
    assert!(kept.broken.is_none() && kept.exhausted, "{rule:?}: the scope itself holds\n{kept}");
    let found = explore(scope, Some(rule), None);
    let Some((broken, way)) = &found.broken else { panic!("{rule:?}: nobody notices") };
    assert_eq!(*broken, promise, "{rule:?}\n{found}");
    // A line for every event, and one for what is there in the end.
    assert_eq!(way.lines().count(), events + 1, "{rule:?}\n{found}");
    way.clone()
}

/// One machine that only beats.
const BEATS: Scope = Scope { rekeys: false, ..Scope::new("broken rule") };

#[test]
fn with_a_window_of_one_an_overtaken_beat_looks_like_a_copys() {
    breaks(Broken::WindowOfOne, &Scope { operations: 2, ..BEATS }, Promise::HonestIsTrusted, 7);
}

#[test]
fn where_nonces_are_forgotten_a_repeated_beat_is_judged_again() {
    breaks(Broken::NoncesForgotten, &Scope { operations: 1, ..BEATS }, Promise::NonceOnce, 5);
}

#[test]
fn where_an_activation_forgets_the_nonces_a_beat_from_before_it_is_accepted_again() {
    let scope = Scope { operations: 2, activated: false, activations: 2, ..BEATS };
    breaks(Broken::NoncesForgottenByActivation, &scope, Promise::NonceOnce, 10);
}

#[test]
fn where_a_rekey_ends_the_old_secret_at_once_a_lost_answer_strands_its_agent() {
    let scope = Scope { operations: 1, rekeys: true, ..BEATS };
    let way = breaks(Broken::OldSecretDeadByRekey, &scope, Promise::NobodyIsStranded, 3);
    assert_eq!(
        way,
        concat!(
            "   1. A begins a rekey, counter 1 on its disk\n",
            "   2. A's rekey 1 reaches a process, which judges it as accepted: highest 1, accepted [1], 1 secret\n",
            "   3. A's rekey 1 is committed (highest 1, accepted [1], 1 secret); the answer is lost\n",
            "      install 0: highest 1, accepted [1], 1 secret\n",
        )
    );
}

#[test]
fn where_a_retried_activation_ends_the_secret_before_it_a_repeated_one_strands_its_agent() {
    let scope = Scope { operations: 1, activated: false, activations: 2, ..BEATS };
    breaks(Broken::OldSecretDeadByRetry, &scope, Promise::NobodyIsStranded, 5);
}

#[test]
fn where_the_revision_is_not_checked_two_processes_accept_one_beat() {
    breaks(Broken::RevisionUnchecked, &Scope { operations: 1, ..BEATS }, Promise::NonceOnce, 5);
}

#[test]
fn an_answer_before_its_commit_says_what_is_not_so() {
    let scope = Scope { operations: 1, ..BEATS };
    breaks(Broken::AnswerBeforeCommit, &scope, Promise::AcknowledgedIsStored, 2);
}

#[test]
fn a_counter_that_is_written_after_it_was_sent_is_sent_again_and_looks_like_a_copys() {
    breaks(Broken::CounterAfterSending, &Scope { operations: 2, ..BEATS }, Promise::HonestIsTrusted, 6);
}

#[test]
fn an_activation_that_is_asked_for_again_after_its_secret_was_used_makes_its_agent_look_like_a_copy() {
    let scope = Scope { operations: 4, activated: false, reinstalls: 1, activations: 2, ..BEATS };
    breaks(Broken::AnsweredActivationKept, &scope, Promise::HonestIsTrusted, 13);
}

#[test]
fn where_forks_go_unnoticed_a_copy_does() {
    let scope = Scope { operations: 1, copy_operations: 1, copies: 1, ..BEATS };
    breaks(Broken::ForkUnnoticed, &scope, Promise::CopyIsSuspected, 7);
}

#[test]
fn where_a_fork_lowers_the_highest_counter_it_goes_down() {
    let scope = Scope { operations: 3, images: 1, ..BEATS };
    breaks(Broken::HighestLowered, &scope, Promise::HighestGrows, 11);
}
