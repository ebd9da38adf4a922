//! `/audit`: who changed what.

use axum::response::Response;
use edge::{Refusal, answer};
use http::StatusCode;
use protocol::ActorId;
use protocol::admin::ActorKind;
use store::AuditFilter;

use super::call::Call;
use super::route::{Kind, Parameter};
use crate::audit;

pub(super) const FILTERS: [Parameter; 7] = [
    Parameter {
        name: "actor",
        kind: Kind::Word(|| ActorKind::ALL.map(ActorKind::as_str).to_vec()),
        about: "Only what this kind of actor did",
    },
    Parameter { name: "actor_id", kind: Kind::Id, about: "Only what this user or key did" },
    Parameter { name: "action", kind: Kind::Text, about: "Only this action, like `license.suspend`" },
    Parameter { name: "resource", kind: Kind::Text, about: "Only what was done to this kind of thing" },
    Parameter { name: "resource_id", kind: Kind::Text, about: "Only what was done to this thing" },
    Parameter { name: "from", kind: Kind::Time, about: "Only from this time on" },
    Parameter { name: "to", kind: Kind::Time, about: "Only before this time" },
];

pub(super) async fn list(call: Call) -> Result<Response, Refusal> {
    let query = &call.query;
    let filter = AuditFilter {
        actor: query.parsed("actor", "user, api_key or command_line"),
        actor_id: query.parsed("actor_id", "a UUID").map(|id: ActorId| *id.as_uuid()),
        action: query.short_text("action"),
        resource: query.short_text("resource"),
        resource_id: query.short_text("resource_id"),
        from: query.time("from"),
        to: query.time("to"),
    };
    let asked = query.page();
    query.finish()?;
    let rows = audit::list(&call.edge.store, &filter, asked.after, asked.limit + 1).await?;
    Ok(Call::page(&asked, rows, |row| row.seq))
}

pub(super) async fn verify(call: Call) -> Result<Response, Refusal> {
    Ok(answer::json(StatusCode::OK, &audit::verify(&call.edge.store).await?))
}
