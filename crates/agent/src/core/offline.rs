//! What is asked and answered by file, on a machine that is never online.

use jose_jwt::x25519::SecretKey;
use protocol::{Nonce, Secret, lease, offline::OfflineReply, token::TokenError};
use serde::{Deserialize, Serialize};

use super::{By, Core, Heard, What};
use crate::{Error, clock::Reading};

/// More requests aren't waited for: an older one is forgotten.
const MAX_PENDING: usize = 8;

/// A request by file that wasn't answered yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingRequest {
    nonce: Nonce,
    /// The bytes of the private key that opens the answer.
    key: Secret,
}

impl Core {
    /// A request with this nonce is made: whoever answers it encrypts to this key's public half.
    pub(crate) fn requested(&mut self, nonce: Nonce, key: &SecretKey) {
        self.requests.insert(0, PendingRequest { nonce, key: Secret::from_bytes(*key.to_bytes()) });
        self.requests.truncate(MAX_PENDING);
    }

    /// Whether an answer by file could be taken.
    pub(crate) const fn is_waiting(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Takes an answer that came by file, as a whole or not at all: an install, the keys and a lease. With it go its
    /// request and those that were made before it, so that it is taken once.
    pub(crate) fn import(&mut self, text: &str, reading: &Reading) -> Result<(), Error> {
        let (index, reply) = self.open_reply(text)?;
        let mut next = self.clone();
        next.requests.truncate(index);
        next.trust.take_keyset(reply.keyset.as_str(), &self.issuer)?;
        // A token is for whoever is shown it at once; on its way by file its `exp` may have passed.
        if next.trust.newest().is_none_or(|keyset| keyset.is_expired(self.surely(reading))) {
            return Err(Error::Keyset(TokenError::KeysetExpired));
        }
        let OfflineReply { request, install_id, license_id, secret, token, lease_id, artifact, .. } = reply;
        let signed = lease::open(artifact.as_str(), &secret, lease_id).map_err(Error::Token)?;
        let by = By::Activation { install_id, license_id, secret };
        let heard = |what| Heard {
            what,
            server_time: None,
            reading: reading.clone(),
            request: (request, 0),
            by: by.clone(),
        };
        let surely = self.surely(reading);
        for (what, surely) in [(What::Decision(token), i64::MIN), (What::Lease(lease_id, signed), surely)] {
            let heard = heard(what);
            let verified = next.verify_at(&heard, surely).map_err(Error::Token)?;
            next.accept(heard, verified);
        }
        *self = next;
        Ok(())
    }

    /// Opens an answer with the key of the request that it answers.
    fn open_reply(&self, text: &str) -> Result<(usize, OfflineReply), Error> {
        let opened = self.requests.iter().enumerate().find_map(|(index, pending)| {
            let key = SecretKey::from_bytes(pending.key.as_bytes());
            Some((index, pending.nonce, OfflineReply::open(text, &key).ok()?))
        });
        match opened {
            Some((index, nonce, reply)) if reply.request == nonce => Ok((index, reply)),
            Some(_) => Err(Error::Token(TokenError::OtherRequest)),
            None => Err(Error::UnknownReply),
        }
    }
}
