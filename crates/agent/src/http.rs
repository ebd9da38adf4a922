//! The transport that an agent has on its own: HTTP/1.1, over TLS where the URL says so.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::http::{HeaderMap, Request as HttpRequest, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use crate::{
    Error,
    settings::ServerUrl,
    transport::{Answer, Answering, Request, Transport},
};

/// Longer answers are none of the protocol's.
const MAX_ANSWER: usize = 256 * 1024;

/// How much of an answer's head is read.
const MAX_HEAD: usize = 64 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// From the first byte sent to the last one read.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Sends requests over HTTP/1.1, reusing connections; certificates are checked against the machine's own roots.
pub struct HttpTransport {
    server: ServerUrl,
    user_agent: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HttpTransport {
    /// A transport to a server. `version` is the licensed program's.
    pub fn new(server: ServerUrl, version: &str) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1)
            .http1_max_buf_size(MAX_HEAD)
            .build(connector);
        let printable = version.chars().filter(char::is_ascii_graphic).collect::<String>();
        Self { server, user_agent: format!("qubictether-agent/{printable}"), client }
    }

    async fn exchange(&self, request: Request) -> Result<Answer, Error> {
        let mut builder = HttpRequest::builder()
            .method(request.method)
            .uri(self.server.join(&request.path))
            .header(header::USER_AGENT, &self.user_agent)
            .header(header::ACCEPT, "application/json, application/jwt, application/problem+json");
        if let Some(authorization) = request.authorization {
            builder = builder.header(header::AUTHORIZATION, authorization);
        }
        builder = match &request.body {
            Some(_) => builder.header(header::CONTENT_TYPE, "application/json"),
            // Said also where there is nothing (RFC 9110 section 8.6): some proxies insist.
            None => builder.header(header::CONTENT_LENGTH, 0),
        };
        let body = request.body.map(|body| Bytes::from_owner(Wiped(body))).unwrap_or_default();
        let request = builder.body(Full::new(body)).map_err(|error| Error::Unreachable(error.into()))?;
        let answer = self.client.request(request).await.map_err(|error| Error::Unreachable(error.into()))?;
        let (head, body) = answer.into_parts();
        if body.size_hint().lower() > MAX_ANSWER as u64 {
            return Err(Error::TooLong);
        }
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { Error::TooLong } else { Error::Unreachable(error) }
        })?;
        Ok(Answer {
            status: head.status.as_u16(),
            retry_after: retry_after(&head.headers),
            body: Zeroizing::new(body.to_bytes().to_vec()),
        })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request) -> Answering<'_> {
        Box::pin(async move {
            tokio::time::timeout(TOTAL_TIMEOUT, self.exchange(request)).await.unwrap_or(Err(Error::TimedOut))
        })
    }
}

/// A body that is wiped when the last of its readers is done.
struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// TLS with the machine's own roots. Where it has none, no certificate is trusted: `http://` still works.
fn tls_config() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what the default versions need")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date, which the answer's own `Date` is taken from.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u64::MAX));
    }
    let date = |text: &str| -> Option<SystemTime> { httpdate::parse_http_date(text).ok() };
    let now = date(headers.get(header::DATE)?.to_str().ok()?)?;
    Some(date(text)?.duration_since(now).map_or(0, |wait| wait.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |after: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, after.parse().unwrap());
            if let Some(date) = date {
                headers.insert(header::DATE, date.parse().unwrap());
            }
            retry_after(&headers)
        };
        let noon = "Tue, 24 Nov 2026 12:00:00 GMT";
        assert_eq!(read("120", None), Some(120));
        assert_eq!(read("99999999999999999999999", None), Some(u64::MAX));
        assert_eq!(read("Tue, 24 Nov 2026 12:02:00 GMT", Some(noon)), Some(120));
        assert_eq!(read("Tue, 24 Nov 2026 11:02:00 GMT", Some(noon)), Some(0));
        for nonsense in ["", "-5", "+5", "5.5", "soon", "Tue, 24 Nov 2026 12:02:00 GMT"] {
            assert_eq!(read(nonsense, None), None, "{nonsense}");
        }
    }
}
