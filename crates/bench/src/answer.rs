//! Whether an answer is the answer to its request.

use std::rc::Rc;

use jose_jwt::{PublicKey, base64url};
use protocol::{
    InstallId, ProductCode,
    keyset::Keyset,
    token::{Expect, verify_decision},
};
use serde::Deserialize;

use crate::{
    error::Error,
    install::Beat,
    target::{Session, Target},
};

/// What is read of every answer, decision or problem.
#[derive(Debug, Deserialize)]
pub(crate) struct Body<'a> {
    /// The server's clock in Unix seconds.
    pub(crate) server_time: i64,
    /// The signed decision.
    pub(crate) token: Option<&'a str>,
    /// The problem's code.
    pub(crate) code: Option<&'a str>,
}

impl<'a> Body<'a> {
    /// Reads a body; of one in another form, nothing.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Whether a token repeats its request's nonce and counter. Its signature isn't looked at.
pub(crate) fn repeats(token: &str, beat: &Beat) -> bool {
    #[derive(Deserialize)]
    struct Echo {
        nonce: protocol::Nonce,
        ctr: u64,
    }
    let payload = token.split('.').nth(1).and_then(|payload| base64url::decode(payload).ok());
    let echo = payload.and_then(|payload| serde_json::from_slice::<Echo>(&payload).ok());
    echo.is_some_and(|echo| echo.nonce == beat.nonce && echo.ctr == beat.counter.value())
}

/// Verifies tokens as an agent does.
#[derive(Debug)]
pub(crate) struct Verifier {
    keyset: Keyset,
    issuer: String,
    product: ProductCode,
}

impl Verifier {
    /// Gets the server's keyset, and verifies it under the root key.
    pub(crate) async fn load(
        target: &Rc<Target>,
        root: &PublicKey,
        issuer: String,
        product: ProductCode,
    ) -> Result<Self, Error> {
        let answer = Session::new(target).fetch(target.path("/v1/keyset")).await;
        let answer = answer.map_err(|failure| Error::Keyset(format!("no answer: {failure:?}")))?;
        let text = str::from_utf8(&answer.body).map_err(|_| Error::Keyset("not a text".to_owned()))?;
        let keyset = Keyset::verify(text, root, &issuer).map_err(|error| Error::Keyset(error.to_string()))?;
        Ok(Self { keyset, issuer, product })
    }

    /// Whether a token is this server's decision on this heartbeat, at `now` (Unix seconds).
    pub(crate) fn verifies(&self, token: &str, install: InstallId, beat: &Beat, now: i64) -> bool {
        let expect = Expect {
            iss: &self.issuer,
            aud: &self.product,
            sub: install,
            now: Some(now),
            request: Some((beat.nonce, beat.counter.value())),
            newest: None,
        };
        verify_decision(token, &self.keyset, &expect).is_ok()
    }
}
