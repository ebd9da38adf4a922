//! `GET /healthz`: the process is up. `GET /readyz`: database and keys are there, and whether KMS answers. `GET /metrics`: Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::config::KeyProvider;
use crate::keys::Warning;
use crate::telemetry::told;
use crate::{Edge, Refusal, answer, hold};

/// The routes that every process has.
pub fn router() -> Router<Arc<Edge>> {
    probes().route("/metrics", get(metrics))
}

/// Those of a process that has no private side: a function URL is open to the world, which is not to read metrics.
pub fn probes() -> Router<Arc<Edge>> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

pub(crate) async fn healthz() -> Response {
    answer::json(StatusCode::OK, &json!({ "status": "up" }))
}

async fn readyz(State(edge): State<Arc<Edge>>) -> Result<Response, Refusal> {
    edge.store.database().ping().await?;
    let keys = edge.keys.current(&edge).await?;
    let mut warnings: Vec<_> = keys.warning.map(Warning::as_str).into_iter().collect();
    // This process has its keys and serves on without KMS; one that starts now would wait for it.
    if matches!(edge.settings.key_provider, KeyProvider::Kms { .. }) && !edge.kms.answers(&edge).await {
        warnings.push("kms_unavailable");
    }
    let mut ready = json!({ "status": "ready" });
    if !warnings.is_empty() {
        ready["warnings"] = json!(warnings);
    }
    Ok(answer::json(StatusCode::OK, &ready))
}

/// For how many seconds it holds that KMS answered, and that it didn't: however often probes come, they cost a call in
/// that time.
const FRESH: i64 = 10;
const FRESH_FAILURE: i64 = 2;

/// How long a probe waits for KMS.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether KMS unwrapped a key when it was asked last, and when that was.
#[derive(Default)]
pub struct Kms(Mutex<Option<(i64, bool)>>);

impl Kms {
    /// Whether KMS unwraps a key now, as for a process that starts. Why not is in the log.
    async fn answers(&self, edge: &Edge) -> bool {
        let mut last = self.0.lock().await;
        let now = edge.now();
        if let Some((at, answered)) = *last
            && (0..if answered { FRESH } else { FRESH_FAILURE }).contains(&(now - at))
        {
            return answered;
        }
        let failed = match timeout(PATIENCE, edge.store.rehearse_unwrap()).await {
            Ok(unwrapped) => unwrapped.err().map(|error| told(&error)),
            Err(late) => Some(late.to_string()),
        };
        if let Some(error) = &failed {
            tracing::warn!(error, "KMS unwraps no key");
        }
        let answered = failed.is_none();
        *last = Some((now, answered));
        answered
    }
}

/// How long whoever asks for metrics waits for the database: what the process itself measured is there without it.
const HOLD_PATIENCE: Duration = Duration::from_secs(1);

async fn metrics(State(edge): State<Arc<Edge>>) -> Response {
    // Without the database, what was known of it last.
    drop(timeout(HOLD_PATIENCE, hold::notice(&edge)).await);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], edge.metrics.render()).into_response()
}
