//! `/leases`: offline leases, and the requests of machines that are never online.

use axum::response::Response;
use edge::{Refusal, answer};
use http::StatusCode;
use protocol::admin::LeaseStatus;
use store::LeaseFilter;

use super::call::{self, Call};
use super::route::{Kind, Parameter};
use crate::{lease, offline};

pub(super) const FILTERS: [Parameter; 3] = [
    Parameter { name: "license_id", kind: Kind::Id, about: "Only those of this license's installs" },
    Parameter { name: "install_id", kind: Kind::Id, about: "Only this install's" },
    Parameter {
        name: "status",
        kind: Kind::Word(|| LeaseStatus::ALL.map(LeaseStatus::as_str).to_vec()),
        about: "Only those of which this has become",
    },
];

pub(super) async fn list(call: Call) -> Result<Response, Refusal> {
    let query = &call.query;
    let filter = LeaseFilter {
        license_id: query.parsed("license_id", "a UUID"),
        install_id: query.parsed("install_id", "a UUID"),
        status: query.parsed("status", "live, renewed, returned, revoked or ended"),
    };
    let asked = query.page();
    query.finish()?;
    let leases = lease::list(&call.edge.store, &filter, asked.after, asked.limit + 1).await?;
    Ok(Call::page(&asked, leases, |lease| lease.id))
}

pub(super) async fn revoke(call: Call) -> Result<Response, Refusal> {
    let lease = lease::revoke(&call.operator()?, call.id()?, &call.expected()?).await?;
    Ok(call::resource(StatusCode::OK, &lease))
}

pub(super) async fn answer(call: Call) -> Result<Response, Refusal> {
    let answered = offline::answer(&call.edge, &call.actor()?, call.raw_body()?).await?;
    Ok(answer::json(StatusCode::OK, &answered))
}
