use std::pin::Pin;

use zeroize::Zeroizing;

use crate::{Context, Error};

/// What a provider answers, once it does. Boxed, so that providers can be exchanged at run time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A key that was wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// What the database keeps. It tells nothing of the key.
    pub bytes: Vec<u8>,
    /// Names the key-encryption key that wrapped it, for people.
    pub by: String,
}

/// A key-encryption key, wherever it lives.
pub trait KeyEncryption: Send + Sync {
    /// Names the key, for people and errors. It doesn't tell the key.
    fn id(&self) -> &str;

    /// Encrypts `key`, bound to `context`.
    fn wrap<'a>(&'a self, context: &'a Context, key: &'a [u8; 32]) -> Pending<'a, Wrapped>;

    /// Decrypts what [`wrap`](Self::wrap) made for the same context; [`Error::Unwrap`] if it isn't that.
    fn unwrap<'a>(&'a self, context: &'a Context, wrapped: &'a [u8]) -> Pending<'a, Zeroizing<[u8; 32]>>;
}
