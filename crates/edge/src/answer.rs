//! What a handler answers with.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::Refusal;

/// A JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    text(body).map_or_else(Refusal::into_response, |body| (status, headers, body).into_response())
}

/// JSON as text.
///
/// # Errors
/// 500 when it can't be written, which would be a fault of ours.
pub fn text(body: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(body).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "an answer can't be written as JSON");
        Refusal::internal()
    })
}

/// A public document that caches may keep for a minute.
pub fn public(content_type: &'static str, body: String) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=60")),
    ];
    (headers, body).into_response()
}
