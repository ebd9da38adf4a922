//! A base URL, and what is called there.

use std::time::Duration;

use bytes::Bytes;
use edge::testing::Answer;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything may take for an answer, a cold start included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a function's paths begin.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// Host and port to connect to.
    address: String,
    /// What the request says is its host.
    host: String,
    /// What stands before the protocol's paths.
    prefix: String,
}

impl Base {
    /// From a URL like `http://127.0.0.1:8080` or `http://127.0.0.1:9000/lambda-url/auth`.
    pub(crate) fn new(url: &str) -> Self {
        let place = url.strip_prefix("http://").expect("a plain URL").trim_end_matches('/');
        let (host, prefix) = place.find('/').map_or((place, ""), |at| place.split_at(at));
        Self { address: host.to_owned(), host: host.to_owned(), prefix: prefix.to_owned() }
    }

    /// The same, reached at another address: the host's name leads nowhere.
    pub(crate) fn at(self, address: &str) -> Self {
        Self { address: address.to_owned(), ..self }
    }

    /// Sends a request on a connection of its own, and reads the whole answer.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        let exchange = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let (mut sender, connection) =
                handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
            tokio::spawn(connection);
            let (parts, body) =
                sender.send_request(request).await.map_err(std::io::Error::other)?.into_parts();
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
            std::io::Result::Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        let answer = timeout(PATIENCE, exchange).await;
        let answer = answer.unwrap_or_else(|_| panic!("{method} {path}: no answer within {PATIENCE:?}"));
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}
