//! `/webhooks`: who is told of changes, and what became of the telling.

use axum::response::Response;
use edge::{Refusal, answer};
use http::StatusCode;
use protocol::admin::{DeliveryStatus, NewWebhook};

use super::call::{self, Call};
use super::route::{Kind, Parameter};
use crate::webhook;

pub(super) const DELIVERIES: [Parameter; 1] = [Parameter {
    name: "status",
    kind: Kind::Word(|| DeliveryStatus::ALL.iter().map(|status| status.as_str()).collect()),
    about: "Only those of which this has become",
}];

pub(super) async fn list(call: Call) -> Result<Response, Refusal> {
    let asked = call.query.page();
    call.query.finish()?;
    let webhooks = webhook::list(&call.edge.store, asked.after, asked.limit + 1).await?;
    Ok(Call::page(&asked, webhooks, |webhook| webhook.id))
}

pub(super) async fn create(call: Call) -> Result<Response, Refusal> {
    let wanted = call.body(NewWebhook::read)?;
    let allows_private = call.edge.settings.webhook_private_targets;
    let created = webhook::create(&call.operator()?, wanted, allows_private).await?;
    Ok(call::resource(StatusCode::CREATED, &created))
}

pub(super) async fn remove(call: Call) -> Result<Response, Refusal> {
    webhook::remove(&call.operator()?, call.id()?, &call.expected()?).await?;
    Ok(call::nothing())
}

pub(super) async fn deliveries(call: Call) -> Result<Response, Refusal> {
    let status = call.query.parsed("status", "pending, delivered or failed");
    let asked = call.query.page();
    call.query.finish()?;
    let store = &call.edge.store;
    let found = webhook::deliveries(store, call.id()?, status, asked.after, asked.limit + 1).await?;
    Ok(Call::page(&asked, found, |delivery| delivery.id))
}

pub(super) async fn ping(call: Call) -> Result<Response, Refusal> {
    Ok(answer::json(StatusCode::ACCEPTED, &webhook::ping(&call.operator()?, call.id()?).await?))
}

pub(super) async fn resend(call: Call) -> Result<Response, Refusal> {
    let delivery = webhook::resend(&call.operator()?, call.id()?, call.part()?).await?;
    Ok(answer::json(StatusCode::ACCEPTED, &delivery))
}
