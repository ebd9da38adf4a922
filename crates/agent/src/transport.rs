//! How requests reach a server: behind a trait, so that tests answer as they like.

use std::pin::Pin;

use http::Method;
use zeroize::Zeroizing;

use crate::Error;

/// What an agent asks.
///
/// It may hold a license key and a proof, so it isn't printable.
#[derive(Clone)]
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// From the server's base URL on, beginning with a slash.
    pub path: String,
    /// The value of the header `Authorization`.
    pub authorization: Option<String>,
    /// JSON.
    pub body: Option<Zeroizing<Vec<u8>>>,
}

/// What came back, whatever it is.
///
/// It may hold a secret, so it isn't printable.
#[derive(Clone, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The body, in full.
    pub body: Zeroizing<Vec<u8>>,
}

/// An answer that is being waited for.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send + 'a>>;

/// Sends requests to one server.
pub trait Transport: Send + Sync {
    /// Sends a request once and reads the whole answer. It follows no redirect and bounds the answer's length and
    /// the time that it takes; its errors are [`Error::Unreachable`], [`Error::TimedOut`] and [`Error::TooLong`].
    fn send(&self, request: Request) -> Answering<'_>;
}
