//! The heartbeat function: `POST /v1/heartbeat`.
//!
//! A handler reads the request and hands it to a lane (`batch.rs`); the lane judges (`beat.rs`) what waits together.

mod batch;
mod beat;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use edge::proof::ProofRequest;
use edge::{Edge, Refusal, answer};
use http::StatusCode;

use batch::Lanes;

/// How long a heartbeat waits for its answer before the agent is asked to come again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The function's routes, for one edge: its lanes start with the first heartbeat.
pub fn router() -> Router<Arc<Edge>> {
    let lanes = Arc::new(OnceLock::new());
    Router::new().route(
        "/v1/heartbeat",
        post(move |State(edge): edge::State, request| heartbeat(edge, lanes.clone(), request)),
    )
}

async fn heartbeat(
    edge: Arc<Edge>,
    lanes: Arc<OnceLock<Lanes>>,
    request: Request,
) -> Result<Response, Refusal> {
    let request = ProofRequest::read(request).await?;
    let lanes = lanes.get_or_init(|| Lanes::start(&edge));
    let decision = tokio::time::timeout(PATIENCE, lanes.judge(request)).await;
    decision
        .unwrap_or_else(|_| Err(Refusal::unavailable()))
        .map(|decision| answer::json(StatusCode::OK, &decision))
}
