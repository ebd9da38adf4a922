//! `/hold`: the incident hold.

use axum::response::Response;
use edge::{Edge, Refusal, answer};
use http::StatusCode;
use protocol::admin::NewHold;

use super::call::{self, Call};
use crate::hold;

pub(super) async fn show(call: Call) -> Result<Response, Refusal> {
    Ok(answer::json(StatusCode::OK, &hold::show(&call.edge.store).await?))
}

pub(super) async fn set(call: Call) -> Result<Response, Refusal> {
    let wanted = call.body(NewHold::read)?;
    let set = hold::set(&call.operator()?, wanted).await?;
    told(&call.edge).await;
    Ok(answer::json(StatusCode::OK, &set))
}

pub(super) async fn end(call: Call) -> Result<Response, Refusal> {
    hold::end(&call.operator()?).await?;
    told(&call.edge).await;
    Ok(call::nothing())
}

/// Has this process say so at once. Where it can't, it says so with its next sweep, as every other one does.
async fn told(edge: &Edge) {
    drop(edge::hold::notice(edge).await);
}
