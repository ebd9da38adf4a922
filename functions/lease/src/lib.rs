//! The lease function: `POST /v1/leases`, `POST /v1/leases/{lease_id}/return`.

mod grant;
mod hand_back;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use edge::Edge;

/// The function's routes.
pub fn router() -> Router<Arc<Edge>> {
    Router::new()
        .route("/v1/leases", post(grant::grant))
        .route("/v1/leases/{lease_id}/return", post(hand_back::hand_back))
}
