//! Installs: listed, explained by the engine, approved, suspended, resumed, revoked, reset, rebound.

use edge::judge::judge;
use protocol::InstallId;
use protocol::admin::{Agent, Fingerprints, HeldLease, Install, Judged, Step, Time};
use store::{InstallAction, InstallFilter, InstallRow, LiveLease, Part, Store};

use crate::error::Error;
use crate::explained::explained;
use crate::operator::{Expected, Operator, States};

/// At most `limit` installs after `after`, in the order in which they were made, each judged now. It may be fewer, even none,
/// though there are more.
///
/// # Errors
/// When the database isn't available.
pub async fn list(
    store: &Store,
    filter: &InstallFilter,
    after: Option<InstallId>,
    limit: i64,
) -> Result<Part<Install>, Error> {
    let now = store.clock().unix_seconds();
    let Part { items, next } = store.list_installs(filter, after, limit).await?;
    Ok(Part { items: items.iter().map(|row| judged(row, now)).collect(), next })
}

/// An install, judged and explained now.
///
/// # Errors
/// When there is no such install.
pub async fn show(store: &Store, id: InstallId) -> Result<Install, Error> {
    let row = store.find_install(id).await?.ok_or_else(|| Error::not_found("install", &id))?;
    let now = store.clock().unix_seconds();
    let around = store.surroundings(&row.subject, now).await?;
    Ok(explained(judged(&row, now), &row.subject, around, now))
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
    let around = change.surroundings(&after.subject, now).await?;
    let judged_after = judged(&after, now);
    if !changed.is_empty() {
        let states = States::changed(&judged(&before, now), &judged_after)?;
        operator.finish(change, name(action), id, states).await?;
    }
    Ok(explained(judged_after, &after.subject, around, now))
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

/// An install as lists have it.
pub(crate) fn judged(row: &InstallRow, now: i64) -> Install {
    let InstallRow { name, version, state, subject } = row;
    let judgement = judge(subject, now);
    Install {
        id: subject.id,
        license_id: subject.license_id,
        name: name.clone(),
        status: subject.status(),
        state: *state,
        decision: Judged::new(&judgement.decision, now),
        ladder: judgement.ladder.into_iter().map(Step::from).collect(),
        held_until: subject.held_until.filter(|until| now < *until).map(Time),
        trace: Vec::new(),
        remedy: None,
        facts: None,
        profile: None,
        components: Vec::new(),
        seat: None,
        secret: None,
        activated_at: Time(subject.activated_at),
        last_contact: Time(subject.last_contact),
        agent: Agent { version: subject.agent_version.clone(), platform: subject.agent_platform.clone() },
        clock_skew: subject.clock_skew,
        fingerprint: Fingerprints { bound: subject.bound.clone(), observed: subject.observed.clone() },
        holds_seat: subject.is_seated(now),
        seats_exceeded_at: subject.seats_exceeded_at.map(Time),
        clone_suspected_at: subject.clone_suspected_at.map(Time),
        lease: subject.lease.map(held),
        version: *version,
    }
}

fn held(lease: LiveLease) -> HeldLease {
    HeldLease { id: lease.id, ends_at: Time(lease.ends_at), revoked_at: lease.revoked_at.map(Time) }
}
