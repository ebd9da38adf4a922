//! HTTP/1.1 over TCP, until it is told to stop; then what is under way is finished.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use edge::address::ClientAddress;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::error::Elapsed;

/// How many connections are held at once, at most; more wait to be accepted.
const CONNECTIONS: usize = 10_000;

/// How many open files are for what isn't a client's connection: the database's, the log, a webhook under way.
const OTHER_FILES: u64 = 128;

/// How many connections wait to be accepted, if the system allows as many. The usual 128 are fewer than come in a second
/// when a fleet finds its server again, and whoever finds no room there tries again after a second, then two, then four.
const BACKLOG: u32 = 4096;

/// How long a client may take for a request's headers.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);

/// How long a request may take from its headers to its answer. Handlers answer far sooner: who exceeds this sends his
/// body too slowly, and is hung up on, or he and his like would hold every connection.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// How much of a request is buffered: its headers have to fit (431 otherwise).
const BUFFER: usize = 16 * 1024;

/// How long requests under way may take when the program is told to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Listens at an address.
pub(crate) fn at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that is started anew finds its address free at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop`, then accepts nothing more and finishes what is under way.
pub(crate) async fn until(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let count = places();
    let places = Arc::new(Semaphore::new(count));
    let is_scarce = {
        let places = places.clone();
        move || places.available_permits() < count / 2
    };
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = graceful.watch(connection(stream, peer, router.clone(), is_scarce.clone()));
                tokio::spawn(async move {
                    // Whatever a client does to its connection is its own affair.
                    let _ = connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a connection can't be accepted");
                // Out of file descriptors, most likely: they come back when connections end.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    tracing::info!("told to stop: finishing what is under way");
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way");
    }
}

/// How many connections there is room for. Each is an open file, and a process begins with 1,024 of these as a rule: it
/// may take as many as the system lets it have.
fn places() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let files = if setrlimit(Resource::Nofile, raised).is_ok() { raised.current } else { limit.current };
    let places = files.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES).max(1));
    usize::try_from(places).map_or(CONNECTIONS, |places| places.min(CONNECTIONS))
}

/// A connection that serves its client's requests one after another, unless places are scarce: then only one. An agent
/// that has beaten is silent for minutes, and others wait for its place.
fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    is_scarce: impl Fn() -> bool + Clone + Send + 'static,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    // Answers are one small write each; waiting for more to send with them only delays them.
    let _ = stream.set_nodelay(true);
    let address = ClientAddress::from(peer.ip());
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(address);
        let is_scarce = is_scarce.clone();
        async move {
            let mut response = tokio::time::timeout(REQUEST_PATIENCE, answer(&mut router, request)).await?;
            if is_scarce() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Elapsed>(response)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
}

/// A router is always ready, and never fails.
async fn answer(router: &mut Router, request: Request<Body>) -> axum::response::Response {
    match tower::Service::call(router, request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;

    /// After how much time, which nobody waits for here, a client is hung up on that sends this and then nothing.
    async fn hung_up_after(bytes: &[u8]) -> Duration {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(|body: String| async move { body }));
        tokio::spawn(until(listener, router, std::future::pending()));
        let begin = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A connection that is reset has ended, too.
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, b"");
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_ends_his_headers_or_his_body_is_hung_up_on() {
        for (bytes, patience) in [
            (&b"POST / HTTP/1.1\r\nHost: a\r\nX-Slow: "[..], HEADER_PATIENCE),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf", REQUEST_PATIENCE),
        ] {
            let after = hung_up_after(bytes).await;
            assert!((patience..patience * 2).contains(&after), "{after:?} instead of {patience:?}");
        }
    }
}
