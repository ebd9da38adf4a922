//! From where browsers may call: the site's own origin, and those that the operator names.

use axum::response::{IntoResponse, Response};
use edge::{Edge, Refusal};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use protocol::problem::Code;

/// What a request says of where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nothing: no browser sent it, or one whose page has the same origin.
    Unsaid,
    /// One of those that may.
    Allowed(HeaderValue),
    /// Another.
    Foreign,
}

/// Where a request comes from.
pub(super) fn of(headers: &HeaderMap, allowed: &[String]) -> Origin {
    let mut given = headers.get_all(ORIGIN).iter();
    match (given.next(), given.next()) {
        (None, _) => Origin::Unsaid,
        (Some(origin), None) if allowed.iter().any(|allowed| origin == allowed) => {
            Origin::Allowed(origin.clone())
        }
        _ => Origin::Foreign,
    }
}

/// Tells a browser that the page may read the answer.
pub(super) fn allow(origin: Origin, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Origin::Allowed(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        let exposed = HeaderValue::from_static("ETag, Location, Retry-After, X-Request-Id");
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

/// What a browser asks before it lets a page of another origin call a path of these methods.
pub(super) fn preflight(edge: &Edge, headers: &HeaderMap, methods: HeaderValue) -> Response {
    let origin = of(headers, &edge.settings.admin_origins);
    if !matches!(origin, Origin::Allowed(_)) {
        let refusal =
            Refusal::new(Code::MethodNotAllowed, "This path has other methods; see the Allow header.");
        return ([(ALLOW, methods)], refusal).into_response();
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    let names = "Authorization, Content-Type, Idempotency-Key, If-Match, X-Requested-With";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(names));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    allow(origin, response)
}
