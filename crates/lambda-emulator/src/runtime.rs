//! The runtime interface, version 2018-06-01: what a process asks for events and tells its answers.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use crate::queue::Queue;

const PREFIX: &str = "/2018-06-01/runtime/";

/// When an invocation has to be over, Unix milliseconds: nothing is ended here.
const NEVER: &str = "9999999999999";

pub(crate) async fn serve(
    queue: Arc<Queue>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    if (&parts.method, path.as_str()) == (&Method::GET, "invocation/next") {
        let (id, event) = queue.next().await;
        let response = Response::builder()
            .header("Content-Type", "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", id)
            .header("Lambda-Runtime-Deadline-Ms", NEVER)
            .header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:f")
            .header("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0");
        return Ok(response.body(Full::new(event)).expect("every header is well formed"));
    }
    let Ok(body) = body.collect().await else { return Ok(status(StatusCode::BAD_REQUEST)) };
    let body = body.to_bytes();
    let told = path.strip_prefix("invocation/").and_then(|path| path.split_once('/'));
    let is_known = match told {
        Some((id, "response")) => queue.answer(id, Ok(body)),
        Some((id, "error")) => queue.answer(id, Err(body)),
        // A process that says why it doesn't start; it ends then.
        _ => path == "init/error",
    };
    Ok(status(if is_known { StatusCode::ACCEPTED } else { StatusCode::NOT_FOUND }))
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
