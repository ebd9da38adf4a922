//! What stands around every request: its id, the bounds on its size, the problem document, the measurement.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use protocol::ambient::Random;
use protocol::json::{self, Json};
use protocol::problem::Code;

use crate::{Edge, Refusal};

/// The most that a request's body may have, bytes.
pub const BODY_LIMIT: usize = 16 * 1024;

/// The most that a request's headers may have together, bytes: names and values.
pub const HEADER_LIMIT: usize = 8 * 1024;

/// So much of a body that is too large, bytes, is read away while it is refused.
const DRAIN_LIMIT: usize = 8 * 1024 * 1024;

/// For so long.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts the envelope around a function's router.
pub fn wrap(router: Router<Arc<Edge>>, edge: Arc<Edge>) -> Router {
    router
        .fallback(|| async { Refusal::new(Code::NotFound, "There is nothing at this path.") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(Code::MethodNotAllowed, "This path has other methods; see the Allow header.")
        })
        .layer(from_fn_with_state(edge.clone(), envelope))
        .with_state(edge)
}

async fn envelope(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = edge.store.new_id().to_string();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let mut response = if headers > HEADER_LIMIT {
        Refusal::new(Code::TooLarge, "The headers have more than 8 KiB.").into_response()
    } else {
        next.run(request).await
    };
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        edge.metrics.refused(refusal.code());
        tracing::debug!(request_id = id, route, code = refusal.code().as_str(), "refused");
    }
    response = seal(response, &id, edge.now(), edge.store.random());
    edge.metrics.answered(&route, response.status(), began.elapsed());
    response
}

/// Writes a refusal out, and gives an answer the headers that all have.
pub(crate) fn seal(mut response: Response, id: &str, now: i64, random: &dyn Random) -> Response {
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let rendered = refusal.render(id, now, random);
        // What a function says in headers besides, like the methods that a path has, stays.
        let mut said = std::mem::replace(&mut response, rendered);
        said.headers_mut().remove(CONTENT_LENGTH);
        for (name, value) in said.headers() {
            response.headers_mut().entry(name).or_insert(value.clone());
        }
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID.clone(), id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The whole body, if it isn't larger than allowed.
///
/// # Errors
/// 413 when it is; 400 when it breaks off.
pub async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    read_body_up_to(BODY_LIMIT, headers, body).await
}

/// The whole body, if it has at most `limit` bytes.
///
/// # Errors
/// As [`read_body`].
pub async fn read_body_up_to(limit: usize, headers: &HeaderMap, mut body: Body) -> Result<Bytes, Refusal> {
    let too_large = |body| {
        drain(body);
        Refusal::new(Code::TooLarge, format!("The body has more than {} KiB.", limit / 1024))
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(body));
    }
    match Limited::new(&mut body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(body)),
        Err(_) => Err(Refusal::new(Code::Malformed, "The body breaks off.")),
    }
}

/// Reads a body away while its request is answered. A connection that is closed with bytes unread is reset, and whoever
/// is still sending would not see why.
pub fn drain(mut body: Body) {
    tokio::spawn(tokio::time::timeout(DRAIN_PATIENCE, async move {
        let mut left = DRAIN_LIMIT;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    }));
}

/// The body as JSON, once its media type is right.
///
/// # Errors
/// 415 when the media type isn't `application/json`, 400 when the body isn't JSON as the protocol wants it.
pub fn parse_json<'a>(content_type: Option<&HeaderValue>, body: &'a [u8]) -> Result<Json<'a>, Refusal> {
    let media_type =
        content_type.and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
    if !media_type.is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Refusal::new(
            Code::UnsupportedMediaType,
            "The body's Content-Type has to be application/json.",
        ));
    }
    json::parse(body).map_err(|error| Refusal::new(Code::Malformed, format!("The body is refused: {error}.")))
}

/// The media type that a request names.
pub fn content_type(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(CONTENT_TYPE)
}
