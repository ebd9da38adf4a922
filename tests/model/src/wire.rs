//! Requests on their way, as the agent's code made them.

use jose_jwt::base64url;
use protocol::{
    Nonce, json,
    proof::{Operation, ProofHeader},
    request::ActivateRequest,
};
use qubictether_agent::transport::{Answer, Request};
use sha2::{Digest, Sha256};

use crate::{machine::fingerprint, pool::Pooled, server};

/// What an agent asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// `POST /v1/activate`
    Activate,
    /// `POST /v1/heartbeat`
    Beat,
    /// `POST /v1/rekey`
    Rekey,
}

/// A request that was sent.
pub(crate) struct Wire {
    /// The machine's place in the world.
    pub(crate) sender: u8,
    /// The install that it is to, by what it says: its header's, or its fingerprint's.
    pub(crate) install: u8,
    pub(crate) ask: Ask,
    /// Of all but activations.
    pub(crate) header: Option<ProofHeader>,
    /// Of an activation.
    pub(crate) activation: Option<ActivateRequest>,
    pub(crate) body_sha256: [u8; 32],
}

impl Wire {
    /// A request as the agent wants it sent; `None`: it is for public keys.
    pub(crate) fn of(sender: u8, request: &Request) -> Option<Self> {
        let body = request.body.as_ref().map_or(&[][..], |body| body);
        let ask = match request.path.as_str() {
            "/v1/activate" => Ask::Activate,
            "/v1/heartbeat" => Ask::Beat,
            "/v1/rekey" => Ask::Rekey,
            _ => return None,
        };
        let header = request.authorization.as_ref().map(|header| {
            ProofHeader::parse(header.as_bytes()).expect("the agent writes headers in their one form")
        });
        let activation = (ask == Ask::Activate).then(|| {
            let body = json::parse(body).expect("the agent writes JSON");
            ActivateRequest::read(&body).expect("the agent writes requests as they are described")
        });
        let is_to = |install: &u8| match (&header, &activation) {
            (Some(header), _) => header.install == server::install_id(*install),
            (None, activation) => {
                activation.as_ref().is_some_and(|request| request.fingerprint == fingerprint(*install))
            }
        };
        let install = (0..=sender).find(is_to).expect("there is no other install");
        Some(Self { sender, install, ask, header, activation, body_sha256: Sha256::digest(body).into() })
    }

    /// The operation that its proof is of.
    pub(crate) const fn operation(&self) -> Option<Operation> {
        match self.ask {
            Ask::Activate => None,
            Ask::Beat => Some(Operation::Heartbeat),
            Ask::Rekey => Some(Operation::Rekey),
        }
    }

    /// The number of the attempt; 0 of an activation.
    pub(crate) fn counter(&self) -> u64 {
        self.header.map_or(0, |header| header.counter.value())
    }

    pub(crate) fn nonce(&self) -> Nonce {
        match (&self.header, &self.activation) {
            (Some(header), _) => header.nonce,
            (None, Some(activation)) => activation.nonce,
            (None, None) => unreachable!("a request has a proof, or is an activation"),
        }
    }
}

impl Pooled for Wire {
    fn key(&self) -> Vec<u8> {
        // A proof is over all the rest. A repeated activation is the same request once more.
        let proof = self.header.map_or_else(String::new, |header| header.to_string());
        [proof.as_bytes(), base64url::encode(self.nonce().as_bytes()).as_bytes()].concat()
    }
}

impl Pooled for Answer {
    fn key(&self) -> Vec<u8> {
        [&self.status.to_be_bytes()[..], &self.retry_after.unwrap_or(0).to_be_bytes(), &self.body].concat()
    }
}
