//! What other programs on the machine read: HTTP/1.1 on a Unix socket in the state folder.

use std::{convert::Infallible, sync::Arc, time::Duration};

use ::http::{Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};

use crate::{platform::Listener, view::View};

/// The socket's name in the state folder.
const NAME: &str = "agent.sock";

const MAX_CONNECTIONS: usize = 16;

const MAX_HEAD: usize = 8 * 1024;

const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection isn't kept for longer.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(1);

/// How long to wait before accepting again where the system had no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves for ever. Where there can't be a socket (its path is longer than the system takes, say) nothing is
/// served: beating matters more.
pub(crate) async fn serve(view: &Arc<View>) {
    let Ok(Some(listener)) = Listener::bind(&view.folder.path().join(NAME)) else {
        return std::future::pending().await;
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok(stream) => {
                    connections.spawn(tokio::time::timeout(CONNECTION_TIMEOUT, converse(stream, view.clone())));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, view: Arc<View>) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&view, request.method(), request.uri().path());
        async { Ok::<_, Infallible>(answer) }
    });
    // Whoever breaks off is no concern of the agent's.
    let _broken_off = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn answer(view: &View, method: &Method, path: &str) -> Response<Full<Bytes>> {
    match (path, method == Method::GET) {
        ("/v1/state", true) => match view.status() {
            Ok(status) => respond(StatusCode::OK, "application/json", status.to_string()),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.in_one_line()),
        },
        ("/v1/token", true) => match view.token() {
            Ok(Some(token)) => respond(StatusCode::OK, "application/jwt", token.0),
            Ok(None) => respond(StatusCode::NOT_FOUND, "text/plain", "not activated".into()),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.in_one_line()),
        },
        ("/v1/state" | "/v1/token", false) => {
            let mut refusal = respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only".into());
            refusal.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET"));
            refusal
        }
        _ => respond(StatusCode::NOT_FOUND, "text/plain", "there are /v1/state and /v1/token".into()),
    }
}

fn respond(status: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
