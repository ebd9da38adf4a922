//! A function URL: HTTP in front, events behind.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;

use crate::event::{decode, event};
use crate::function::{Function, invoke};
use crate::queue::Queue;
use crate::server::Server;

/// The most that a function URL takes, bytes.
const BODY_LIMIT: usize = 6 * 1024 * 1024;

/// An address behind which are functions: one function's URL, or an origin that has the paths of several.
pub struct Url {
    server: Server,
}

impl Url {
    /// Opens it, on any free port. A request goes to the first function whose prefix its path has.
    ///
    /// # Errors
    /// When it can't listen.
    pub async fn open(functions: &[(&str, &Function)]) -> io::Result<Self> {
        let routes: Arc<[_]> =
            functions.iter().map(|(prefix, function)| ((*prefix).to_owned(), function.queue())).collect();
        let server = Server::start(move |request| serve(routes.clone(), request)).await?;
        Ok(Self { server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }
}

/// Adds and answers on its own what AWS does.
async fn serve(
    routes: Arc<[(String, Arc<Queue>)]>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let Some((_, queue)) = routes.iter().find(|(prefix, _)| parts.uri.path().starts_with(prefix)) else {
        return Ok(own(StatusCode::FORBIDDEN, r#"{"Message":"Forbidden"}"#));
    };
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        let said =
            r#"{"Message":"Request must be smaller than 6291456 bytes for the InvokeFunction operation"}"#;
        return Ok(own(StatusCode::PAYLOAD_TOO_LARGE, said));
    };
    for (name, value) in
        [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-port", "443"), ("x-forwarded-proto", "https")]
    {
        parts.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let event = event(&Request::from_parts(parts, body.to_bytes()), "127.0.0.1");
    let answer = invoke(queue, event.to_string().into()).await;
    let response = answer.ok().and_then(|answer| decode(&answer));
    Ok(response.unwrap_or_else(|| own(StatusCode::BAD_GATEWAY, "Internal Server Error")))
}

fn own(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}
