//! Why a request is refused, and the problem document that says so.
//!
//! INVARIANT(401): a proof that doesn't hold is one and the same answer, whatever is wrong with it.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use protocol::ambient::Random;
use protocol::jitter;
use protocol::problem::{Code, FieldError, Problem};

use crate::telemetry;

/// Over so many seconds at most they are spread.
const LONGEST_SPREAD: u64 = 30;

/// A refused request: what the caller is told. The cause of a fault of ours is logged where it is met, never told.
#[derive(Debug, Clone)]
pub struct Refusal {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    reason: Option<&'static str>,
    /// Seconds after which to come again, before jitter.
    retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal with a text of its own.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), reason: None, retry_after: None }
    }

    /// 401: the one answer to every proof that doesn't hold.
    pub fn invalid_proof() -> Self {
        Self::new(Code::InvalidProof, "The request's proof does not hold.")
    }

    /// 401: nobody is signed in, or no longer.
    pub fn unauthorized() -> Self {
        Self::new(Code::Unauthorized, "Sign in first, or send an API key that holds.")
    }

    /// 403: whoever asks may not do this.
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Forbidden, detail)
    }

    /// 422: values that aren't as described.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(Code::Invalid, "The body's values are not as described.") }
    }

    /// 422: parameters of the query that are unknown or aren't as described.
    pub fn invalid_query(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(Code::Invalid, "The query's parameters are not as described.") }
    }

    /// 409: what some of those are that were named forbids it; nothing was done to any.
    pub fn conflicts(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(Code::Conflict, "What some of them are forbids it; nothing was done.") }
    }

    /// 503: the bounded queue is full.
    pub fn overloaded() -> Self {
        Self {
            retry_after: Some(5),
            ..Self::new(Code::Overloaded, "The server has more to do than it can hold.")
        }
    }

    /// 503: the database or the keys don't answer.
    pub fn unavailable() -> Self {
        Self { retry_after: Some(2), ..Self::new(Code::Unavailable, "The server can't answer now.") }
    }

    /// 503: what was asked for took longer than it may, and nothing has changed.
    pub fn broken_off(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { retry_after: Some(5), ..Self::new(Code::Unavailable, detail) }
    }

    /// 503: what the proof shows may have been accepted before a restore; the next bucket, in `seconds`, is judged.
    pub fn put_off(seconds: i64) -> Self {
        let detail = "The server was restored from a backup; proofs of the next span of time are taken.";
        Self {
            retry_after: Some(u64::try_from(seconds).unwrap_or(0).max(1)),
            ..Self::new(Code::Unavailable, detail)
        }
    }

    /// 429: more often than agreed; a place is free after `seconds`.
    pub fn slow_down(seconds: u64) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..Self::new(Code::SlowDown, "Requests come too often.") }
    }

    /// 500: a fault of ours, which has been logged.
    pub fn internal() -> Self {
        Self::new(Code::Internal, "Something went wrong on the server's side.")
    }

    /// 403: no lease is granted, and why.
    pub fn lease(reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::new(Code::LeaseRefused, "No lease is granted now.") }
    }

    /// With a reason as a member: a stable word for programs.
    #[must_use]
    pub fn with_reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// What it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What it says to people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Why no lease is granted, where it is that.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The problem document.
    pub(crate) fn render(self, request_id: &str, server_time: i64, random: &dyn Random) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut problem = Problem::new(self.code, self.detail, request_id.to_owned(), server_time);
        problem.errors = self.errors;
        problem.reason = self.reason.map(str::to_owned);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // Every 401 says what would be taken (RFC 9110 section 15.5.2).
        let scheme = match self.code {
            Code::InvalidProof => Some(protocol::proof::SCHEME),
            Code::Unauthorized => Some("Bearer"),
            _ => None,
        };
        if let Some(scheme) = scheme {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        if let Some(seconds) = self.retry_after {
            // Up to as long again, so that those who were refused together don't come back together.
            let spread = jitter::full(random, seconds.min(LONGEST_SPREAD));
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds + spread));
        }
        response
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        if matches!(error, store::Error::Overloaded) {
            return Self::overloaded();
        }
        let told = telemetry::told(&error);
        if error.is_transient() {
            tracing::warn!(error = told, "the database or its keys are not available");
            return Self::unavailable();
        }
        tracing::error!(error = told, "a request failed");
        Self::internal()
    }
}

/// The refusal travels as an extension; the envelope, which knows the request's id and the time, writes it out.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
