//! `/hold`: the incident hold.

use axum::response::Response;
use edge::{Refusal, answer};
use http::StatusCode;
use protocol::admin::NewHold;

use super::call::{self, Call};
use crate::hold;

pub(super) async fn show(call: Call) -> Result<Response, Refusal> {
    Ok(answer::json(StatusCode::OK, &hold::show(&call.edge.store).await?))
}

pub(super) async fn set(call: Call) -> Result<Response, Refusal> {
    let wanted = call.body(NewHold::read)?;
    Ok(answer::json(StatusCode::OK, &hold::set(&call.operator()?, wanted).await?))
}

pub(super) async fn end(call: Call) -> Result<Response, Refusal> {
    hold::end(&call.operator()?).await?;
    Ok(call::nothing())
}
