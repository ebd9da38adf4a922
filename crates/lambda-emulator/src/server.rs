//! HTTP/1.1 on loopback.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A server on any free port, which ends with its connections when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _task: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start<A, F>(answer: A) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // What can't be set only makes it slower.
                let _ = stream.set_nodelay(true);
                let service = service_fn(answer.clone());
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(async {
                    // Whatever a client does to its connection is its own affair.
                    let _ = connection.await;
                });
                // Of those that have ended nothing is kept.
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, _task: task })
    }
}
