//! Why an install is judged as it is: the facts, the fourteen rules, what is around it, what would mend it.

use policy::{Facts, compare, evaluate, trace};
use protocol::admin::{Component, Install, JudgingVersion, SecretState, Time, TracedRule};
use store::{Subject, Surroundings};

use crate::remedy::remedy;

/// How much of a digest people need to tell two apart.
const SHOWN: usize = 8;

/// An install that was judged at `now`, with everything that its own page says.
pub(crate) fn explained(install: Install, subject: &Subject, around: Surroundings, now: i64) -> Install {
    let (facts, judging) = (subject.facts(), &subject.profile.knobs.judging);
    let rules = trace(&facts, judging, now, &|at| Time(at).to_string());
    let rule =
        |rule: policy::Traced| TracedRule { rule: rule.rule, matched: rule.matched, because: rule.because };
    let components = components(subject);
    let Surroundings { profile, seat } = around;
    let profile = JudgingVersion {
        id: profile.id,
        name: profile.name,
        number: subject.profile.number,
        active_number: profile.active_number,
        percent: profile.percent,
    };
    let unheld = evaluate(&Facts { held_until: None, ..facts.clone() }, judging, now).state;
    let hold = install.held_until.filter(|_| unheld > install.decision.state);
    let hold = hold.map_or_else(String::new, |end| {
        format!("; the incident hold keeps it from being {unheld}, until {end}")
    });
    let remedy = remedy(install.decision.reason, subject, &components, &profile, seat);
    Install {
        state: install.decision.state,
        remedy: remedy.map(|remedy| remedy + &hold),
        trace: rules.into_iter().map(rule).collect(),
        facts: Some(facts.into()),
        profile: Some(profile),
        components,
        seat: Some(seat),
        secret: Some(secret(subject)),
        ..install
    }
}

fn components(subject: &Subject) -> Vec<Component> {
    let (bound, observed) = (subject.bound.as_policy(), subject.observed.as_policy());
    let short = |value: Option<&str>| value.map(|value| value.chars().take(SHOWN).collect());
    compare(bound, observed, &subject.profile.knobs.judging.weights)
        .into_iter()
        .map(|compared| Component {
            name: compared.name.to_owned(),
            comparison: compared.comparison(),
            weight: compared.weight,
            bound: short(compared.bound),
            observed: short(compared.observed),
        })
        .collect()
}

fn secret(subject: &Subject) -> SecretState {
    let secrets = subject.secrets.as_ref();
    match secrets.and_then(|secrets| Some((secrets.newest_is_proven()?, secrets.iter().count()))) {
        None => SecretState::None,
        Some((true, _)) => SecretState::InUse,
        Some((false, 1)) => SecretState::Unused,
        Some((false, _)) => SecretState::Changing,
    }
}
