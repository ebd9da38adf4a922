//! An HTTP/1.1 connection that stays open.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use edge::testing::Answer;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than a server may take for any answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection to a server.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    pub(crate) async fn try_open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        // How it ended is told to the request that was under way.
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string() })
    }

    /// Posts JSON, with a proof where there is one.
    pub(crate) async fn post(&mut self, path: &str, proof: Option<&str>, body: &str) -> Answer {
        self.try_post(path, proof, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) async fn try_post(
        &mut self,
        path: &str,
        proof: Option<&str>,
        body: &str,
    ) -> Result<Answer, hyper::Error> {
        let mut request = Request::builder().method(Method::POST).uri(path).header(HOST, &self.host);
        if let Some(proof) = proof {
            request = request.header(AUTHORIZATION, proof);
        }
        let request = request.header(CONTENT_TYPE, "application/json");
        self.exchange(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.try_get(path).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) async fn try_get(&mut self, path: &str) -> Result<Answer, hyper::Error> {
        let request = Request::builder().uri(path).header(HOST, &self.host);
        let request = request.body(Full::default()).unwrap();
        self.exchange(request).await
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, hyper::Error> {
        let exchange = async {
            self.sender.ready().await?;
            let (parts, body) = self.sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        timeout(PATIENCE, exchange).await.expect("an answer within 15 s")
    }
}
