//! Which install, if any, is the machine that is activated.

use policy::Knobs;
use protocol::Fingerprint;
use store::Candidate;

/// The install that `observed` is the same machine as: the best score by the profile's weights that reaches its
/// `min_match`; of equals the newest. Where no score can tell machines apart (`min_match` is 0, or what is bound weighs
/// nothing), only an equal fingerprint will do.
pub(crate) fn same_machine<'a>(
    candidates: &'a [Candidate],
    observed: &Fingerprint,
    knobs: &Knobs,
) -> Option<&'a Candidate> {
    let profile = &knobs.judging;
    candidates
        .iter()
        .filter_map(|candidate| {
            let score = policy::score(candidate.bound.as_policy(), observed.as_policy(), &profile.weights);
            let same = if profile.min_match.is_zero() || score.is_weightless() {
                candidate.bound == *observed
            } else {
                score.reaches(profile.min_match)
            };
            same.then_some((score, candidate))
        })
        .max_by_key(|(score, candidate)| (*score, candidate.activated_at, candidate.id))
        .map(|(_, candidate)| candidate)
}
