//! HTTP/1.1 over TCP, until it is told to stop; then what is under way is finished.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use edge::address::ClientAddress;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How many connections are held at once; more wait to be accepted.
const CONNECTIONS: usize = 10_000;

/// How long a client may take for a request's headers.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);

/// How long a request may take from its headers to its answer. Handlers answer far sooner: who exceeds this sends his
/// body too slowly, and is hung up on, or he and his like would hold every connection.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// How much of a request is buffered: its headers have to fit (431 otherwise).
const BUFFER: usize = 16 * 1024;

/// How long requests under way may take when the program is told to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Serves until `stop`, then accepts nothing more and finishes what is under way.
pub(crate) async fn until(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
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
                let connection = graceful.watch(connection(stream, peer, router.clone()));
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

/// A connection that serves its client's requests one after another.
fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    // Answers are one small write each; waiting for more to send with them only delays them.
    let _ = stream.set_nodelay(true);
    let address = ClientAddress::from(peer.ip());
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(address);
        async move { tokio::time::timeout(REQUEST_PATIENCE, answer(&mut router, request)).await }
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
