//! One operation, from its request to what came of it: which request is sent next, after every answer. Pure.

use http::Method;
use protocol::{
    MAX_INTEGER, Nonce, Secret,
    ambient::{self, Random},
    json,
    keyset::Keyset,
    lease,
    problem::Code,
    proof::{Operation, ProofHeader},
    response::{ActivateResponse, DecisionResponse, LeaseResponse, RekeyResponse},
    token::TokenError,
};
use serde::{Deserialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    Error,
    clock::Reading,
    core::{By, Core, Heard, What},
    refusal::Refusal,
    transport::{Answer, Request},
};

/// How many successors of a root are asked for in a row.
const MAX_SUCCESSORS: u8 = 16;

/// What comes next.
pub enum Step {
    /// Keep the record, then send this.
    Send(Request),
    /// Keep the record; this came of the operation.
    Done(Result<(), Error>),
}

/// An operation that is under way.
#[derive(Clone, PartialEq, Eq)]
pub struct Exchange {
    ask: Ask,
    body: Option<Zeroizing<Vec<u8>>>,
    phase: Phase,
    /// A 401 told the server's time, and the request was sent again.
    repeated: bool,
    /// The keyset was asked for: once in an operation.
    fetched: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Activate,
    Prove(Operation),
}

/// What is being waited for.
#[derive(Clone, PartialEq, Eq)]
enum Phase {
    Answer(Sent),
    Keyset(Option<Heard>),
    Successor { heard: Option<Heard>, keyset: Zeroizing<Vec<u8>>, left: u8 },
}

/// What was sent, as far as its answer has to fit it.
#[derive(Clone, PartialEq, Eq)]
struct Sent {
    nonce: Nonce,
    counter: u64,
    /// The secret that proves it, and how many older ones there are to try.
    secret: Option<(Secret, usize)>,
}

impl Exchange {
    /// An activation: the JSON of an [`ActivateRequest`](protocol::request::ActivateRequest) with this nonce.
    pub fn activate(nonce: Nonce, body: Vec<u8>) -> (Self, Request) {
        let sent = Sent { nonce, counter: 0, secret: None };
        let exchange = Self::new(Ask::Activate, Some(Zeroizing::new(body)), sent);
        let request = exchange.post("/v1/activate", None);
        (exchange, request)
    }

    /// An operation that needs a proof. The counter is taken: the record has to be kept before the request is sent.
    pub fn prove(
        core: &mut Core,
        operation: Operation,
        body: Option<Vec<u8>>,
        reading: &Reading,
        random: &dyn Random,
    ) -> Result<(Self, Request), Error> {
        let body = body.map(Zeroizing::new);
        let sent = Sent { nonce: new_nonce(random), counter: 0, secret: None };
        let mut exchange = Self::new(Ask::Prove(operation), body, sent);
        let request = exchange.attempt(core, operation, 0, reading, random)?;
        Ok((exchange, request))
    }

    fn new(ask: Ask, body: Option<Zeroizing<Vec<u8>>>, sent: Sent) -> Self {
        Self { ask, body, phase: Phase::Answer(sent), repeated: false, fetched: false }
    }

    fn post(&self, path: &str, authorization: Option<String>) -> Request {
        Request { method: Method::POST, path: path.to_owned(), authorization, body: self.body.clone() }
    }

    /// A new attempt: new counter, new nonce, under the secret of this index, for the time that the server has.
    fn attempt(
        &mut self,
        core: &mut Core,
        operation: Operation,
        index: usize,
        reading: &Reading,
        random: &dyn Random,
    ) -> Result<Request, Error> {
        let attempt = core.attempt(new_nonce(random))?;
        let now = core.server_time(reading);
        let install = core.install_mut()?;
        let secret = install.secrets.get(index).ok_or(Error::ActivationNeeded)?.clone();
        let body = self.body.as_ref().map_or(&[][..], |body| body);
        let proof = ProofHeader::unsigned(install.id, install.license_id, attempt.counter, attempt.nonce)
            .sign(&secret, &operation, now, body);
        let older = install.secrets.len() - index - 1;
        self.phase = Phase::Answer(Sent {
            nonce: attempt.nonce,
            counter: attempt.counter.value(),
            secret: Some((secret, older)),
        });
        let path = match operation {
            Operation::Heartbeat => "/v1/heartbeat",
            Operation::Lease => "/v1/leases",
            Operation::LeaseReturn(lease) => &format!("/v1/leases/{lease}/return"),
            Operation::Rekey => "/v1/rekey",
            Operation::Deactivate => "/v1/deactivate",
        };
        Ok(self.post(path, Some(proof.to_string())))
    }

    /// What comes next, after this answer at this reading.
    pub fn hear(
        &mut self,
        core: &mut Core,
        answer: Result<Answer, Error>,
        reading: &Reading,
        random: &dyn Random,
    ) -> Step {
        let phase = std::mem::replace(&mut self.phase, Phase::Keyset(None));
        let next = match phase {
            Phase::Answer(sent) => {
                answer.and_then(|answer| self.answered(core, sent, &answer, reading, random))
            }
            Phase::Keyset(heard) => {
                let fetched = answer.and_then(|answer| match answer.status {
                    200 => self.keyset(core, heard.clone(), answer.body, MAX_SUCCESSORS),
                    _ => Err(problem(&answer)),
                });
                spare(heard.as_ref(), fetched)
            }
            Phase::Successor { heard, keyset, left } => {
                let followed = answer.and_then(|answer| match answer.status {
                    200 => {
                        let issuer = core.issuer().to_owned();
                        core.trust.take_successor(text(&answer.body, 200)?, &issuer)?;
                        self.keyset(core, heard.clone(), keyset, left)
                    }
                    // There is none: the keyset is under a root that the trusted one never vouched for.
                    404 => Err(Error::Keyset(TokenError::UnknownKey)),
                    _ => Err(problem(&answer)),
                });
                spare(heard.as_ref(), followed)
            }
        };
        match next {
            Ok(Some(request)) => Step::Send(request),
            Ok(None) => Step::Done(Ok(())),
            Err(error) => Step::Done(Err(error)),
        }
    }

    fn answered(
        &mut self,
        core: &mut Core,
        sent: Sent,
        answer: &Answer,
        reading: &Reading,
        random: &dyn Random,
    ) -> Result<Option<Request>, Error> {
        let request = (sent.nonce, sent.counter);
        let heard = |what, server_time, by| Heard {
            what,
            server_time: Some(server_time),
            reading: reading.clone(),
            request,
            by,
        };
        match (self.ask, answer.status, sent.secret) {
            (Ask::Activate, 201, _) => {
                let ActivateResponse { install_id, license_id, secret, server_time, token, .. } =
                    read(answer)?;
                let by = By::Activation { install_id, license_id, secret };
                self.believe(core, heard(What::Decision(token), server_time, by))
            }
            (Ask::Prove(Operation::Heartbeat), 200, Some((secret, _))) => {
                let DecisionResponse { server_time, token, .. } = read(answer)?;
                self.believe(core, heard(What::Decision(token), server_time, By::Secret(secret)))
            }
            (Ask::Prove(Operation::LeaseReturn(_)), 200, Some((secret, _))) => {
                let DecisionResponse { server_time, token, .. } = read(answer)?;
                self.believe(core, heard(What::Return(token), server_time, By::Secret(secret)))
            }
            (Ask::Prove(Operation::Lease), 201, Some((secret, _))) => {
                let LeaseResponse { lease_id, artifact, server_time, .. } = read(answer)?;
                let signed = lease::open(artifact.as_str(), &secret, lease_id).map_err(Error::Token)?;
                self.believe(core, heard(What::Lease(lease_id, signed), server_time, By::Secret(secret)))
            }
            (Ask::Prove(Operation::Rekey), 200, Some((used, _))) => {
                let RekeyResponse { secret, counter, server_time } = read(answer)?;
                if counter != sent.counter {
                    return Err(Error::Token(TokenError::OtherRequest));
                }
                core.set_server_time(server_time, reading);
                core.rekeyed(secret, used);
                Ok(None)
            }
            (Ask::Prove(Operation::Deactivate), 204, _) => {
                core.deactivated();
                Ok(None)
            }
            (Ask::Prove(operation), 401, Some((_, older))) => {
                self.unproven(core, operation, older, answer, reading, random)
            }
            _ => {
                let told = read::<Told>(answer).unwrap_or_default();
                if let Some(now) = told.server_time {
                    core.set_server_time(now, reading);
                }
                match (self.ask, problem(answer)) {
                    (Ask::Prove(Operation::Lease), Error::Problem { code: Some(Code::LeaseRefused), .. }) => {
                        Err(Error::LeaseRefused(Refusal::named(&told.reason)))
                    }
                    (_, error) => Err(error),
                }
            }
        }
    }

    /// 401: the proof was for another time than the server's, or the secret isn't known. The time is set and the
    /// request sent again, then under the older secret, if there is one; then activation is needed.
    fn unproven(
        &mut self,
        core: &mut Core,
        operation: Operation,
        older: usize,
        answer: &Answer,
        reading: &Reading,
        random: &dyn Random,
    ) -> Result<Option<Request>, Error> {
        let told: Told = read(answer)?;
        let now = told.server_time.filter(|now| (0..=MAX_INTEGER).contains(now));
        let (Ok(Code::InvalidProof), Some(now)) = (told.code.parse(), now) else {
            return Err(problem(answer));
        };
        core.set_server_time(now, reading);
        let install = core.install_mut()?;
        let index = install.secrets.len() - older - 1;
        let again = if !std::mem::replace(&mut self.repeated, true) {
            index
        } else if older > 0 {
            index + 1
        } else {
            install.activation_needed = true;
            return Err(Error::ActivationNeeded);
        };
        self.attempt(core, operation, again, reading, random).map(Some)
    }

    /// Believes what was answered, or fetches the keyset that it may need first.
    fn believe(&mut self, core: &mut Core, heard: Heard) -> Result<Option<Request>, Error> {
        match core.verify(&heard) {
            Ok(verified) => {
                let newest = verified.keyset();
                core.accept(heard, verified);
                let is_old = core.trust.newest().map(Keyset::version) < newest;
                Ok((is_old && !self.fetched).then(|| self.fetch(None)))
            }
            Err(TokenError::UnknownKey | TokenError::KeysetExpired) if !self.fetched => {
                Ok(Some(self.fetch(Some(heard))))
            }
            Err(error) => Err(Error::Token(error)),
        }
    }

    fn fetch(&mut self, heard: Option<Heard>) -> Request {
        self.fetched = true;
        self.phase = Phase::Keyset(heard);
        public("/v1/keyset".to_owned())
    }

    /// Takes a keyset, or follows the trusted root to the one that it is under.
    fn keyset(
        &mut self,
        core: &mut Core,
        heard: Option<Heard>,
        keyset: Zeroizing<Vec<u8>>,
        left: u8,
    ) -> Result<Option<Request>, Error> {
        let issuer = core.issuer().to_owned();
        match core.trust.take_keyset(text(&keyset, 200)?, &issuer) {
            Err(Error::Keyset(TokenError::UnknownKey)) if left > 0 => {
                let path = format!("/v1/keyset/successor/{}", core.trust.root().kid());
                self.phase = Phase::Successor { heard, keyset, left: left - 1 };
                Ok(Some(public(path)))
            }
            Err(error) => Err(error),
            Ok(()) => {
                core.prune();
                heard.map_or(Ok(None), |heard| self.believe(core, heard))
            }
        }
    }
}

/// Where the decision was believed already and only a newer keyset was wanted, failing to get it is no failure.
fn spare(heard: Option<&Heard>, fetched: Result<Option<Request>, Error>) -> Result<Option<Request>, Error> {
    if heard.is_none() { Ok(fetched.unwrap_or(None)) } else { fetched }
}

fn public(path: String) -> Request {
    Request { method: Method::GET, path, authorization: None, body: None }
}

/// 24 random bytes.
pub(crate) fn new_nonce(random: &dyn Random) -> Nonce {
    Nonce::from_bytes(&ambient::array::<24>(random)).expect("a nonce has 16 to 32 bytes")
}

fn text(body: &[u8], status: u16) -> Result<&str, Error> {
    str::from_utf8(body).map_err(|_| Error::Unreadable { status })
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Error> {
    json::decode(&answer.body).ok_or(Error::Unreadable { status: answer.status })
}

/// What an agent needs to know of a problem; the rest is for people.
#[derive(Default, Deserialize)]
struct Told {
    #[serde(default)]
    code: String,
    server_time: Option<i64>,
    /// Of `lease_refused`.
    #[serde(default)]
    reason: String,
}

fn problem(answer: &Answer) -> Error {
    let known = read(answer).ok().and_then(|told: Told| told.code.parse().ok());
    let code = known.filter(|code: &Code| code.status() == answer.status);
    Error::Problem { status: answer.status, code, retry_after: answer.retry_after }
}
