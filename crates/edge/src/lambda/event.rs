//! Events of a function URL (payload format 2.0) as requests, and answers as Lambda wants them.
//!
//! `lambda_http` has types for both, and a conversion that panics where a query, a host name or a body isn't as it
//! expects, or refuses the whole event for one header. Whoever sends requests can bring that about, and a panic costs
//! the process; so what comes is read here, where everything has an answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use http_body_util::BodyExt as _;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use lambda_http::lambda_runtime::Diagnostic;
use protocol::problem::Code;
use serde::Deserialize;
use tower::ServiceExt as _;

use crate::Refusal;
use crate::address::ClientAddress;

/// What Lambda passes on to the client.
pub type Answer = ApiGatewayV2httpResponse;

/// An event that has no answer. What it held is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It isn't a function URL's: somebody invokes the function by other means.
    #[error("the event is not a function URL's request (payload format 2.0)")]
    NoRequest,
    /// What a schedule wants done failed; the log says why.
    #[error("what the schedule wants done failed ({0}); the log says why")]
    Scheduled(Code),
}

impl From<EventError> for Diagnostic {
    fn from(error: EventError) -> Self {
        Self { error_type: "EventError".to_owned(), error_message: error.to_string() }
    }
}

/// What an event of `EventBridge` says of itself.
#[derive(Deserialize)]
struct Source {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
}

/// Whether an event is a schedule's: a rule's of `EventBridge`, or `EventBridge` Scheduler's.
pub(super) fn is_scheduled(event: &str) -> bool {
    serde_json::from_str(event).is_ok_and(|Source { source, detail_type }| {
        matches!(source.as_str(), "aws.events" | "aws.scheduler") && detail_type == "Scheduled Event"
    })
}

/// What a schedule is answered, which nobody reads but for whether it is an error.
pub(super) fn done(outcome: Result<(), Refusal>) -> Result<Answer, EventError> {
    outcome.map_err(|refusal| EventError::Scheduled(refusal.code()))?;
    let mut answer = Answer::default();
    answer.status_code = 204;
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    raw_path: String,
    raw_query_string: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    request_context: Context,
}

#[derive(Deserialize)]
struct Context {
    stage: Option<String>,
    http: Http,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: String,
    source_ip: Option<String>,
}

/// Answers an event by a function's router.
///
/// # Errors
/// When it isn't a function URL's. Whatever such a one holds has an answer.
pub async fn answer(router: Router, event: &str) -> Result<Answer, EventError> {
    let event: Event = serde_json::from_str(event).map_err(|_| EventError::NoRequest)?;
    let response = match router.oneshot(request(event)?).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    Ok(encode(response).await)
}

fn request(event: Event) -> Result<Request, EventError> {
    let body = match event.body {
        Some(text) if event.is_base64_encoded => {
            Body::from(STANDARD.decode(text).map_err(|_| EventError::NoRequest)?)
        }
        Some(text) => Body::from(text),
        None => Body::empty(),
    };
    let Context { stage, http } = event.request_context;
    let mut request = Request::new(body);
    *request.method_mut() = http.method.parse().map_err(|_| EventError::NoRequest)?;
    *request.uri_mut() = target(stage.as_deref(), &event.raw_path, event.raw_query_string.as_deref());
    for (name, value) in event.headers.iter().flatten() {
        insert(request.headers_mut(), name, value);
    }
    if let Some(cookies) = event.cookies.filter(|cookies| !cookies.is_empty()) {
        insert(request.headers_mut(), "cookie", &cookies.join("; "));
    }
    if let Some(address) = http.source_ip.and_then(|address| address.parse::<IpAddr>().ok()) {
        request.extensions_mut().insert(ClientAddress::from(address));
    }
    Ok(request)
}

/// What can't be a header isn't one.
fn insert(headers: &mut HeaderMap, name: &str, value: &str) {
    let header = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()));
    if let (Ok(name), Ok(value)) = header {
        headers.insert(name, value);
    }
}

/// Path and query, without the stage that an API with a named one puts before the path.
fn target(stage: Option<&str>, path: &str, query: Option<&str>) -> Uri {
    let unstaged = stage.filter(|stage| *stage != "$default").and_then(|stage| {
        path.strip_prefix('/')?.strip_prefix(stage).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let path = unstaged.unwrap_or(path);
    let mut target = String::from(if path.starts_with('/') { "" } else { "/" });
    escape(&mut target, path, b"?#");
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        target.push('?');
        escape(&mut target, query, b"#");
    }
    // What is left is too long: there is nothing at such a path.
    target.parse().unwrap_or_else(|_| Uri::from_static("/-"))
}

/// Writes bytes that may not stand in a URI percent-encoded; what is encoded already stays as it is.
fn escape(target: &mut String, text: &str, delimiters: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) && !delimiters.contains(&byte) {
            target.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

async fn encode(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let mut answer = Answer::default();
    answer.status_code = parts.status.as_u16().into();
    for name in parts.headers.keys() {
        let values = parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        if name == SET_COOKIE {
            answer.cookies = values.map(str::to_owned).collect();
        } else if let Ok(value) = HeaderValue::from_str(&values.collect::<Vec<_>>().join(", ")) {
            // There is one value to a name.
            answer.headers.insert(name, value);
        }
    }
    // A body in memory doesn't break off.
    let bytes = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    if !bytes.is_empty() {
        let body = String::from_utf8(bytes);
        answer.is_base64_encoded = body.is_err();
        answer.body = Some(body.map_or_else(|error| error.into_bytes().into(), Into::into));
    }
    answer
}
