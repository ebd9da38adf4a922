//! `/installs`: one machine each.

use axum::response::Response;
use edge::{Refusal, answer};
use http::StatusCode;
use policy::State;
use protocol::admin::{ChosenInstalls, InstallStatus, Page, Rebinding};
use store::{InstallAction, InstallFilter};

use super::call::{self, Call};
use super::query::Cursor;
use super::route::{Kind, Parameter};
use crate::{bulk, install};

/// How old the state that lists filter by may be, seconds.
const FRESH: i64 = 60;

pub(super) const FILTERS: [Parameter; 5] = [
    Parameter { name: "license_id", kind: Kind::Id, about: "Only those of this license" },
    Parameter {
        name: "state",
        kind: Kind::Word(|| State::ALL.iter().map(|state| state.as_str()).collect()),
        about: "Only those that were in this state a minute ago, or later",
    },
    Parameter {
        name: "status",
        kind: Kind::Word(|| InstallStatus::ALL.map(InstallStatus::as_str).to_vec()),
        about: "Only those that are this",
    },
    Parameter {
        name: "silent_since",
        kind: Kind::Time,
        about: "Only those that were not heard of since this time",
    },
    Parameter {
        name: "q",
        kind: Kind::Text,
        about: "Only those in whose name all these words, or their beginnings, stand",
    },
];

pub(super) async fn list(call: Call) -> Result<Response, Refusal> {
    let query = &call.query;
    let filter = InstallFilter {
        license_id: query.parsed("license_id", "a UUID"),
        state: query.parsed("state", "one of the ten states"),
        status: query.parsed("status", "active, pending, suspended, deactivated or revoked"),
        silent_since: query.time("silent_since"),
        words: query.words("q"),
    };
    let asked = query.page();
    query.finish()?;
    call.edge.store.sweep_if_due(FRESH).await?;
    let part = install::list(&call.edge.store, &filter, asked.after, asked.limit).await?;
    let next_cursor = part.next.map(|next| next.told());
    Ok(answer::json(StatusCode::OK, &Page { items: part.items, next_cursor }))
}

pub(super) async fn show(call: Call) -> Result<Response, Refusal> {
    Ok(call::resource(StatusCode::OK, &install::show(&call.edge.store, call.id()?).await?))
}

pub(super) async fn approve(call: Call) -> Result<Response, Refusal> {
    act(call, InstallAction::Approve).await
}

pub(super) async fn suspend(call: Call) -> Result<Response, Refusal> {
    act(call, InstallAction::Suspend).await
}

pub(super) async fn resume(call: Call) -> Result<Response, Refusal> {
    act(call, InstallAction::Resume).await
}

pub(super) async fn revoke(call: Call) -> Result<Response, Refusal> {
    act(call, InstallAction::Revoke).await
}

pub(super) async fn reset(call: Call) -> Result<Response, Refusal> {
    act(call, InstallAction::Reset).await
}

pub(super) async fn rebind(call: Call) -> Result<Response, Refusal> {
    let wanted = call.body_or_none(Rebinding::read)?;
    act(call, InstallAction::Rebind(wanted.fingerprint)).await
}

pub(super) async fn approve_all(call: Call) -> Result<Response, Refusal> {
    act_on_all(call, InstallAction::Approve).await
}

pub(super) async fn suspend_all(call: Call) -> Result<Response, Refusal> {
    act_on_all(call, InstallAction::Suspend).await
}

pub(super) async fn resume_all(call: Call) -> Result<Response, Refusal> {
    act_on_all(call, InstallAction::Resume).await
}

pub(super) async fn revoke_all(call: Call) -> Result<Response, Refusal> {
    act_on_all(call, InstallAction::Revoke).await
}

pub(super) async fn reset_all(call: Call) -> Result<Response, Refusal> {
    act_on_all(call, InstallAction::Reset).await
}

/// Acts on those of a license's installs that the body names, or on all.
async fn act_on_all(call: Call, action: InstallAction) -> Result<Response, Refusal> {
    let ChosenInstalls { install_ids } = call.body_or_none(ChosenInstalls::read)?;
    let changed = bulk::act(&call.operator()?, call.id()?, install_ids.as_deref(), &action).await?;
    Ok(answer::json(StatusCode::OK, &changed))
}

async fn act(call: Call, action: InstallAction) -> Result<Response, Refusal> {
    let install = install::act(&call.operator()?, call.id()?, &call.expected()?, &action).await?;
    Ok(call::resource(StatusCode::OK, &install))
}
