//! Installs: listed, explained by the engine, approved, suspended, resumed, revoked, reset, rebound.

use edge::judge::judge;
use policy::{Facts, evaluate, remedy, trace};
use protocol::InstallId;
use protocol::admin::{Agent, Fingerprints, HeldLease, Install, Judged, Step, Time, TracedRule};
use store::{InstallAction, InstallFilter, InstallRow, LiveLease, Store, Subject};

use crate::error::Error;
use crate::operator::{Expected, Operator, States};

/// At most `limit` installs after `after`, in the order in which they were made, each judged now.
///
/// # Errors
/// When the database isn't available.
pub async fn list(
    store: &Store,
    filter: &InstallFilter,
    after: Option<InstallId>,
    limit: i64,
) -> Result<Vec<Install>, Error> {
    let now = store.clock().unix_seconds();
    let installs = store.list_installs(filter, after, limit).await?;
    Ok(installs.into_iter().map(|row| judged(row, now)).collect())
}

/// An install, judged and explained now.
///
/// # Errors
/// When there is no such install.
pub async fn show(store: &Store, id: InstallId) -> Result<Install, Error> {
    let row = store.find_install(id).await?.ok_or_else(|| Error::not_found("install", &id))?;
    Ok(explained(row, store.clock().unix_seconds()))
}

/// Does what an operator wants done; the agent learns of it at its next beat. Done twice is done.
///
/// # Errors
/// When there is no such install, it has changed since, or it is revoked or deactivated (revoking aside).
pub async fn act(
    operator: &Operator<'_>,
    id: InstallId,
    expected: &Expected,
    action: &InstallAction,
) -> Result<Install, Error> {
    let now = operator.store.clock().unix_seconds();
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = change.lock_install(id).await?.ok_or_else(|| Error::not_found("install", &id))?;
    expected.check(before.version)?;
    let status = before.subject.status();
    if status.is_over() && !matches!(action, InstallAction::Revoke) {
        return Err(Error::Conflict(format!("install {id} is {status}, and that is final")));
    }
    let changed = change.act_on_installs(&[id], action).await?;
    let after = change.find_installs(&[id]).await?.pop().ok_or_else(|| Error::not_found("install", &id))?;
    let (before, mut after) = (judged(before, now), explained(after, now));
    if !changed.is_empty() {
        let trace = std::mem::take(&mut after.trace);
        operator.finish(change, name(action), id, States::changed(&before, &after)?).await?;
        after.trace = trace;
    }
    Ok(after)
}

/// What the audit log calls an action.
pub(crate) fn name(action: &InstallAction) -> &'static str {
    match action {
        InstallAction::Approve => "install.approve",
        InstallAction::Suspend => "install.suspend",
        InstallAction::Resume => "install.resume",
        InstallAction::Revoke => "install.revoke",
        InstallAction::Reset => "install.reset",
        InstallAction::Rebind(_) => "install.rebind",
    }
}

/// An install with the fourteen rules, and what would mend it.
fn explained(row: InstallRow, now: i64) -> Install {
    let (facts, profile) = (row.subject.facts(), row.subject.profile.clone());
    let profile = &profile.knobs.judging;
    let rules = trace(&facts, profile, now, &|at| Time(at).to_string());
    let rule =
        |rule: policy::Traced| TracedRule { rule: rule.rule, matched: rule.matched, because: rule.because };
    let install = judged(row, now);
    let mended = remedy(install.decision.reason);
    let unheld = evaluate(&Facts { held_until: None, ..facts }, profile, now).state;
    let hold = install.held_until.filter(|_| unheld > install.decision.state);
    let by = hold.map_or_else(String::new, |end| format!(", before the incident hold ends, {end}"));
    Install {
        state: install.decision.state,
        remedy: mended.map(|what| format!("{what}{by}")),
        trace: rules.into_iter().map(rule).collect(),
        ..install
    }
}

/// An install as lists have it.
pub(crate) fn judged(row: InstallRow, now: i64) -> Install {
    let InstallRow { name, version, state, subject } = row;
    let judgement = judge(&subject, now);
    let (status, holds_seat) = (subject.status(), subject.is_seated(now));
    let Subject {
        id, license_id, activated_at, last_contact, clock_skew, seats_exceeded_at, held_until, ..
    } = subject;
    Install {
        id,
        license_id,
        name,
        status,
        state,
        decision: Judged::new(&judgement.decision, now),
        ladder: judgement.ladder.into_iter().map(Step::from).collect(),
        held_until: held_until.filter(|until| now < *until).map(Time),
        trace: Vec::new(),
        remedy: None,
        activated_at: Time(activated_at),
        last_contact: Time(last_contact),
        agent: Agent { version: subject.agent_version, platform: subject.agent_platform },
        clock_skew,
        fingerprint: Fingerprints { bound: subject.bound, observed: subject.observed },
        holds_seat,
        seats_exceeded_at: seats_exceeded_at.map(Time),
        clone_suspected_at: subject.clone_suspected_at.map(Time),
        lease: subject.lease.map(held),
        version,
    }
}

fn held(lease: LiveLease) -> HeldLease {
    HeldLease { id: lease.id, ends_at: Time(lease.ends_at), revoked_at: lease.revoked_at.map(Time) }
}
