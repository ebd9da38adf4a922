//! One simulated agent.

use bytes::Bytes;
use http::HeaderValue;
use protocol::{
    Counter, InstanceId, Nonce, ProductCode,
    ambient::{self, Random},
    fingerprint::{self, Fingerprint},
    license_key::LicenseKey,
    proof::{Operation, ProofHeader},
    rate::{Quota, Rate},
    request::{ActivateRequest, AgentInfo, Clock, HeartbeatRequest},
    response::ActivateResponse,
};

use crate::clock::ServerClock;

/// One less at once than the server admits: its clock isn't ours.
pub(crate) const QUOTA: Quota =
    Quota { burst: protocol::rate::INSTALL_QUOTA.burst - 1, ..protocol::rate::INSTALL_QUOTA };

/// A body serves for so many seconds, so that its clock isn't far off.
const BODY_SECONDS: i64 = 60;

/// A machine that isn't activated.
#[derive(Debug)]
pub(crate) struct Machine {
    heartbeat: HeartbeatRequest,
}

impl Machine {
    /// A machine like no other.
    pub(crate) fn random(product: &ProductCode, random: &dyn Random) -> Self {
        let components = ["board_serial", "mac", "machine_id"].map(|name| {
            let raw = format!("{:032x}", u128::from_be_bytes(ambient::array(random)));
            (name, fingerprint::digest(product, name, &raw))
        });
        let fingerprint = Fingerprint::new(components).expect("these are names and digests");
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            heartbeat: HeartbeatRequest {
                instance_id: InstanceId::from_bytes(ambient::array(random)),
                fingerprint,
                agent: AgentInfo { version, platform: "simulated".to_owned() },
                clock: Clock { unix: 0, monotonic_ms: 0, boot_id: "simulated".to_owned() },
            },
        }
    }

    /// What tells it from others.
    pub(crate) const fn fingerprint(&self) -> &Fingerprint {
        &self.heartbeat.fingerprint
    }

    /// The body of a heartbeat, by clocks that show this.
    pub(crate) fn body(&self, unix: i64, monotonic_ms: i64) -> Bytes {
        let clock = Clock { unix, monotonic_ms, ..self.heartbeat.clock.clone() };
        let heartbeat = HeartbeatRequest { clock, ..self.heartbeat.clone() };
        serde_json::to_vec(&heartbeat).expect("a body is a struct of plain values").into()
    }

    /// The request by which it becomes an install.
    pub(crate) fn activation(&self, key: &LicenseKey, random: &dyn Random) -> ActivateRequest {
        let HeartbeatRequest { instance_id, fingerprint, agent, clock: _ } = &self.heartbeat;
        ActivateRequest {
            license_key: key.into(),
            nonce: nonce(random),
            instance_id: *instance_id,
            name: None,
            fingerprint: fingerprint.clone(),
            agent: agent.clone(),
        }
    }

    /// The install that it became.
    pub(crate) fn activated(self, answer: ActivateResponse) -> Install {
        Install {
            answer,
            machine: self,
            attempts: 0,
            acknowledged: 0,
            rate: Rate::default(),
            body: Bytes::new(),
            body_until: i64::MIN,
        }
    }
}

/// A machine that is activated.
#[derive(Debug)]
pub(crate) struct Install {
    answer: ActivateResponse,
    machine: Machine,
    attempts: u64,
    acknowledged: u64,
    rate: Rate,
    body: Bytes,
    body_until: i64,
}

/// A heartbeat that can be sent.
#[derive(Debug)]
pub(crate) struct Beat {
    /// What the answer has to repeat.
    pub(crate) counter: Counter,
    /// What the answer has to repeat.
    pub(crate) nonce: Nonce,
    /// The header `Authorization`.
    pub(crate) proof: HeaderValue,
    /// The body.
    pub(crate) body: Bytes,
}

impl Install {
    /// Who it is.
    pub(crate) const fn id(&self) -> protocol::InstallId {
        self.answer.install_id
    }

    /// The highest counter that was answered with a decision; 0: none was.
    pub(crate) const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Takes note that an attempt was answered with a decision.
    pub(crate) fn acknowledge(&mut self, counter: Counter) {
        self.acknowledged = self.acknowledged.max(counter.value());
    }

    /// Forgets that it has beaten: the server was made to, too.
    pub(crate) fn rest(&mut self) {
        self.rate = Rate::default();
    }

    /// Takes a heartbeat out of what the server admits, or says after how many milliseconds there is one.
    pub(crate) fn admit(&mut self, clock: &ServerClock) -> Result<(), i64> {
        self.rate.admit(QUOTA, clock.passed_ms())
    }

    /// The next attempt.
    pub(crate) fn beat(&mut self, clock: &ServerClock, random: &dyn Random) -> Beat {
        let counter = Counter::after(self.attempts).expect("no measurement lasts for 2^53 heartbeats");
        self.attempts = counter.value();
        let (nonce, now) = (nonce(random), clock.unix_seconds());
        let ActivateResponse { install_id, license_id, secret, .. } = &self.answer;
        if now >= self.body_until {
            self.body_until = now.saturating_add(BODY_SECONDS);
            self.body = self.machine.body(now, clock.passed_ms());
        }
        let header = ProofHeader::unsigned(*install_id, *license_id, counter, nonce);
        let header = header.sign(secret, &Operation::Heartbeat, now, &self.body);
        let proof = HeaderValue::from_maybe_shared(Bytes::from(header.to_string()));
        Beat { counter, nonce, proof: proof.expect("a proof is ASCII"), body: self.body.clone() }
    }
}

fn nonce(random: &dyn Random) -> Nonce {
    Nonce::from_bytes(&ambient::array::<16>(random)).expect("16 bytes are enough")
}
