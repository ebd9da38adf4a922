//! `/profiles`: the knobs by which installs are judged.

use axum::response::Response;
use edge::{Refusal, answer};
use http::StatusCode;
use protocol::ProfileId;
use protocol::admin::{NewProfile, NewVersion, Publication};

use super::call::{self, Call};
use crate::profile;

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
