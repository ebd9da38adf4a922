//! `/overview`: what an operator sees first.

use axum::response::Response;
use edge::{Refusal, answer};
use http::StatusCode;

use super::call::Call;
use crate::overview;

pub(super) async fn show(call: Call) -> Result<Response, Refusal> {
    Ok(answer::json(StatusCode::OK, &overview::show(&call.edge.store).await?))
}
