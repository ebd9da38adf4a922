//! `/api-keys`: scripts' keys.

use axum::response::Response;
use edge::Refusal;
use http::StatusCode;
use protocol::admin::{ApiKeyChange, NewApiKey};

use super::call::{self, Call};
use crate::api_key;

pub(super) async fn list(call: Call) -> Result<Response, Refusal> {
    let asked = call.query.page();
    call.query.finish()?;
    let keys = api_key::list(&call.edge.store, asked.after, asked.limit + 1).await?;
    Ok(Call::page(&asked, keys, |key| key.id))
}

pub(super) async fn create(call: Call) -> Result<Response, Refusal> {
    let wanted = call.body(NewApiKey::read)?;
    let created = api_key::create(&call.operator()?, wanted).await?;
    Ok(call::resource(StatusCode::CREATED, &created))
}

pub(super) async fn change(call: Call) -> Result<Response, Refusal> {
    let (id, expected) = (call.id()?, call.expected()?);
    let wanted = call.body(ApiKeyChange::read)?;
    let key = api_key::change(&call.operator()?, id, &expected, wanted).await?;
    Ok(call::resource(StatusCode::OK, &key))
}

pub(super) async fn remove(call: Call) -> Result<Response, Refusal> {
    api_key::remove(&call.operator()?, call.id()?, &call.expected()?).await?;
    Ok(call::nothing())
}
