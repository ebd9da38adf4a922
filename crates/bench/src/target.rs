//! The server under load, over HTTP/1.1 connections that stay open.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::spawn_local, time::timeout};

use crate::error::Error;

/// Longer than a server takes to give up on its database.
const PATIENCE: Duration = Duration::from_secs(15);

/// A server, as its base URL names it.
#[derive(Debug)]
pub(crate) struct Target {
    address: (String, u16),
    host: HeaderValue,
    prefix: String,
}

impl Target {
    /// Reads a base URL: `http://host[:port][/prefix]`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let refused = || Error::Usage(format!("{url} is not a base URL: http://host[:port][/prefix]"));
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(refused)?;
        Ok(Self {
            address: (authority.host().to_owned(), authority.port_u16().unwrap_or(80)),
            host: HeaderValue::from_str(authority.as_str()).map_err(|_| refused())?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Where a path of the protocol is on this server.
    pub(crate) fn path(&self, path: &str) -> Uri {
        format!("{}{path}", self.prefix).parse().expect("a base URL's path and a protocol's are a path")
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error>> {
        let (host, port) = &self.address;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // How it ended is told to the request that was under way.
        spawn_local(async { _ = connection.await });
        Ok(sender)
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// For how long the server asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// The body.
    pub(crate) body: Bytes,
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// Nobody takes connections.
    Connect,
    /// The connection ended before the answer did.
    Broken,
    /// No answer in 15 seconds.
    Timeout,
}

/// One connection, opened when it is needed, again after it broke.
#[derive(Debug)]
pub(crate) struct Session {
    target: Rc<Target>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Session {
    pub(crate) fn new(target: &Rc<Target>) -> Self {
        Self { target: target.clone(), sender: None }
    }

    /// Opens the connection if it isn't.
    pub(crate) async fn connect(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, Failure> {
        let is_open = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            self.sender = None;
        }
        match &mut self.sender {
            Some(sender) => Ok(sender),
            closed => Ok(closed.insert(self.target.open().await.map_err(|_| Failure::Connect)?)),
        }
    }

    /// Asks for something public.
    pub(crate) async fn fetch(&mut self, uri: Uri) -> Result<Answer, Failure> {
        self.ask(Method::GET, uri, None, Bytes::new()).await
    }

    /// Asks for something that is told to whoever shows this.
    pub(crate) async fn fetch_as(&mut self, uri: Uri, key: HeaderValue) -> Result<Answer, Failure> {
        self.ask(Method::GET, uri, Some(key), Bytes::new()).await
    }

    /// Posts a JSON body, with a proof or without.
    pub(crate) async fn post(
        &mut self,
        uri: Uri,
        proof: Option<HeaderValue>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        self.ask(Method::POST, uri, proof, body).await
    }

    /// Asks for a table, however long, and counts its lines and bytes as they come.
    pub(crate) async fn count_table(&mut self, uri: Uri, key: HeaderValue) -> Result<(u64, u64), Failure> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, self.target.host.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("text/csv"));
        headers.insert(AUTHORIZATION, key);
        let response = self.connect().await?.send_request(request).await.map_err(|_| Failure::Broken)?;
        if response.status() != StatusCode::OK {
            return Err(Failure::Broken);
        }
        let (mut body, mut lines, mut bytes) = (response.into_body(), 0, 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Failure::Broken)?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            lines += data.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
            bytes += data.len() as u64;
        }
        Ok((lines, bytes))
    }

    async fn ask(
        &mut self,
        method: Method,
        uri: Uri,
        proof: Option<HeaderValue>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let exchanged = timeout(PATIENCE, self.exchange(method, uri, proof, body)).await;
        let answer = exchanged.unwrap_or(Err(Failure::Timeout));
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn exchange(
        &mut self,
        method: Method,
        uri: Uri,
        proof: Option<HeaderValue>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, self.target.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(proof) = proof {
            headers.insert(AUTHORIZATION, proof);
        }
        let response = self.connect().await?.send_request(request).await.map_err(|_| Failure::Broken)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|_| Failure::Broken)?.to_bytes();
        Ok(Answer { status: parts.status, retry_after: retry_after(&parts.headers), body })
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_says_where_to_connect_and_what_comes_before_each_path() {
        let plain = Target::parse("http://127.0.0.1:8080").unwrap();
        assert_eq!((plain.address.0.as_str(), plain.address.1), ("127.0.0.1", 8080));
        assert_eq!(plain.path("/v1/heartbeat"), "/v1/heartbeat");
        let deep = Target::parse("http://licenses.example/function/auth/").unwrap();
        assert_eq!((deep.address.0.as_str(), deep.address.1), ("licenses.example", 80));
        assert_eq!(deep.path("/v1/activate"), "/function/auth/v1/activate");
        for other in ["", "127.0.0.1:8080", "https://licenses.example", "http://", "/v1"] {
            assert!(Target::parse(other).is_err(), "{other}");
        }
    }
}
