//! `/profiles`: the knobs by which installs are judged.

use axum::response::Response;
use edge::{Refusal, answer};
use http::StatusCode;
use protocol::ProfileId;
use protocol::admin::{DryRunRequest, NewProfile, NewVersion, Publication};

use super::call::{self, Call};
use super::query::{Cursor, PAGE};
use super::route::{Kind, Parameter};
use crate::{dry_run, profile};

/// How far a dry run goes.
pub(super) const PART: [Parameter; 2] = [
    Parameter {
        name: "limit",
        kind: Kind::Number(1, dry_run::MOST),
        about: "Looks at so many installs at most; 200,000 where it is left out",
    },
    PAGE[1],
];

pub(super) async fn list(call: Call) -> Result<Response, Refusal> {
    let asked = call.query.page::<String>();
    call.query.finish()?;
    let profiles = profile::list(&call.edge.store, asked.after.as_deref(), asked.limit + 1).await?;
    Ok(Call::page(&asked, profiles, |profile| profile.name.clone()))
}

pub(super) async fn create(call: Call) -> Result<Response, Refusal> {
    let wanted = call.body(NewProfile::read)?;
    let profile = profile::create(&call.operator()?, &wanted.name, wanted.knobs.get()).await?;
    Ok(call::resource(StatusCode::CREATED, &profile))
}

pub(super) async fn show(call: Call) -> Result<Response, Refusal> {
    let id: ProfileId = call.id()?;
    Ok(call::resource(StatusCode::OK, &profile::show(&call.edge.store, &id.to_string()).await?))
}

pub(super) async fn versions(call: Call) -> Result<Response, Refusal> {
    let asked = call.query.page();
    call.query.finish()?;
    let versions = profile::versions(&call.edge.store, call.id()?, asked.after, asked.limit + 1).await?;
    Ok(Call::page(&asked, versions, |version| version.number))
}

pub(super) async fn draft(call: Call) -> Result<Response, Refusal> {
    let wanted = call.body(NewVersion::read)?;
    let version = profile::draft(&call.operator()?, call.id()?, wanted.knobs.get()).await?;
    Ok(answer::json(StatusCode::CREATED, &version))
}

pub(super) async fn dry_run(call: Call) -> Result<Response, Refusal> {
    let limit = call.query.number("limit", 1, dry_run::MOST).unwrap_or(dry_run::MOST);
    let after = call.query.cursor();
    call.query.finish()?;
    let wanted = call.body_or_none(DryRunRequest::read)?;
    let (store, id, number) = (&call.edge.store, call.id()?, call.number()?);
    let (mut run, next) = dry_run::dry_run(store, id, number, wanted, after, limit).await?;
    run.next_cursor = next.map(|next| next.told());
    Ok(answer::json(StatusCode::OK, &run))
}

pub(super) async fn publish(call: Call) -> Result<Response, Refusal> {
    let wanted = call.body_or_none(Publication::read)?;
    let (id, number, expected) = (call.id()?, call.number()?, call.expected()?);
    let percent = wanted.percent.unwrap_or(100);
    let profile = profile::publish(&call.operator()?, id, number, percent, &expected).await?;
    Ok(call::resource(StatusCode::OK, &profile))
}

pub(super) async fn roll_back(call: Call) -> Result<Response, Refusal> {
    let profile = profile::roll_back(&call.operator()?, call.id()?, &call.expected()?).await?;
    Ok(call::resource(StatusCode::OK, &profile))
}
