//! Sends a message: signed as Standard Webhooks says, over HTTP/1.1, to an address that was looked at.
//!
//! INVARIANT(looked at): a name is resolved once for an attempt, each address that it resolves to is looked at, and the
//! connection is made to one of those very addresses. Nothing resolves the name a second time: who answers for it can't
//! answer otherwise then. No redirect is followed, and no proxy is asked.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, Request};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use protocol::admin::{DeliveryFault, parse_http_date};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use sha2::Sha256;
use store::TakenDelivery;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::is_public;
use super::target::{Host, Target};

/// From the name's resolution to the head of the answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// For one of the target's addresses.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How much of an answer's head is read; of its body nothing is.
const MAX_HEAD: usize = 64 * 1024;

static ID: HeaderName = HeaderName::from_static("webhook-id");
static TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
static SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A name's addresses, on their way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// A connection, on its way.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send + 'a>>;

/// What messages are sent over.
pub trait Network: Send + Sync {
    /// The addresses of a name.
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Resolving<'a>;
    /// A connection to an address.
    fn connect(&self, address: SocketAddr) -> Connecting<'_>;
}

/// The operating system's resolver and sockets.
#[derive(Debug, Clone, Copy)]
pub struct Internet;

impl Network for Internet {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
    }

    fn connect(&self, address: SocketAddr) -> Connecting<'_> {
        Box::pin(TcpStream::connect(address))
    }
}

/// What a target answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: u16,
    /// When it may be asked again at the earliest, Unix seconds, where it says so: `Retry-After`.
    pub(super) not_before: Option<i64>,
}

/// Sends messages to webhooks' targets.
pub struct Sender {
    network: Arc<dyn Network>,
    allows_private: bool,
    /// Made when the first message needs it: reading the machine's roots takes time and memory.
    tls: OnceLock<TlsConnector>,
}

impl Sender {
    /// A sender over the Internet; to private targets, too, where they are allowed (`QT_WEBHOOK_PRIVATE_TARGETS`).
    pub fn new(allows_private: bool) -> Self {
        Self::over(Arc::new(Internet), allows_private)
    }

    /// A sender over some network.
    pub fn over(network: Arc<dyn Network>, allows_private: bool) -> Self {
        Self { network, allows_private, tls: OnceLock::new() }
    }

    /// Sends a message at `now`. Returns what is answered.
    pub(super) async fn send(&self, message: &TakenDelivery, now: i64) -> Result<Answer, DeliveryFault> {
        timeout(PATIENCE, self.exchange(message, now)).await.unwrap_or(Err(DeliveryFault::TimedOut))
    }

    async fn exchange(&self, message: &TakenDelivery, now: i64) -> Result<Answer, DeliveryFault> {
        // What was taken when it was made may be refused by now: the setting has changed.
        let target =
            Target::parse(&message.url, self.allows_private).map_err(|_| DeliveryFault::AddressRefused)?;
        let stream = self.connect(&target).await?;
        let request = request(&target, message, now).ok_or(DeliveryFault::NoAnswer)?;
        if !target.is_tls {
            return ask(stream, request, now).await;
        }
        let name = match target.host {
            Host::Name(name) => ServerName::try_from(name).map_err(|_| DeliveryFault::TlsFailed)?,
            Host::Address(address) => ServerName::from(address),
        };
        let connected = self.tls.get_or_init(tls).connect(name, stream).await;
        ask(connected.map_err(|_| DeliveryFault::TlsFailed)?, request, now).await
    }

    /// A connection to the first address of the target that takes one.
    async fn connect(&self, target: &Target) -> Result<TcpStream, DeliveryFault> {
        // INVARIANT(looked at)
        let addresses = match &target.host {
            Host::Address(address) => vec![SocketAddr::new(*address, target.port)],
            Host::Name(name) => {
                let resolved = self.network.resolve(name, target.port).await;
                resolved.map_err(|_| DeliveryFault::NameNotResolved)?
            }
        };
        if addresses.is_empty() {
            return Err(DeliveryFault::NameNotResolved);
        }
        // A name with a private address among others is no honest target's.
        if !self.allows_private && !addresses.iter().all(|address| is_public(address.ip())) {
            return Err(DeliveryFault::AddressRefused);
        }
        for address in addresses {
            if let Ok(Ok(stream)) = timeout(CONNECT_PATIENCE, self.network.connect(address)).await {
                return Ok(stream);
            }
        }
        Err(DeliveryFault::NotReached)
    }
}

/// Sends a request, and waits for the head of its answer.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    now: i64,
) -> Result<Answer, DeliveryFault> {
    let handshake = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut asking, connection) = handshake.map_err(|_| DeliveryFault::NoAnswer)?;
    // Ends with this set, whatever the target goes on sending.
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let answer = asking.send_request(request).await.map_err(|_| DeliveryFault::NoAnswer)?;
    let not_before =
        answer.headers().get(RETRY_AFTER).and_then(|after| retry_after(after.to_str().ok()?, now));
    Ok(Answer { status: answer.status().as_u16(), not_before })
}

/// What `Retry-After` says at `now`: seconds, or a date (RFC 9110 section 10.2.3).
fn retry_after(text: &str, now: i64) -> Option<i64> {
    match text.parse::<u32>() {
        Ok(seconds) => Some(now.saturating_add(i64::from(seconds))),
        Err(_) => parse_http_date(text),
    }
}

fn request(target: &Target, message: &TakenDelivery, now: i64) -> Option<Request<Full<Bytes>>> {
    let (id, timestamp) = (message.id.to_string(), now.to_string());
    let signature = signature(&message.secret, &id, &timestamp, &message.body);
    Request::post(&target.path)
        .header(HOST, &target.authority)
        .header(USER_AGENT, concat!("qubictether/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header(&ID, id)
        .header(&TIMESTAMP, timestamp)
        .header(&SIGNATURE, signature)
        .body(Full::new(Bytes::from(message.body.clone())))
        .ok()
}

/// `v1,…` of Standard Webhooks: HMAC-SHA-256 over id, time and body, with full stops between.
fn signature(secret: &[u8], id: &str, timestamp: &str, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    let mac = mac.chain_update(format!("{id}.{timestamp}.")).chain_update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// TLS with the machine's own roots.
fn tls() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what the default versions need")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::{retry_after, signature};

    #[test]
    fn a_target_says_when_it_may_be_asked_again_in_seconds_or_by_a_date() {
        for (text, at) in [
            ("0", Some(1_000)),
            ("120", Some(1_120)),
            ("4294967295", Some(4_294_968_295)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("4294967296", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, 1_000), at, "{text}");
        }
    }

    /// The example of the specification's reference implementations.
    #[test]
    fn a_message_is_signed_as_standard_webhooks_says() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed =
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
