//! A machine with an agent: its state folder, and what is under way in its memory. What is done is done by the agent's own
//! `Core`, `Exchange` and `Activation`; the order of writing and sending is that of `Agent::converse`.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::{
    Fingerprint, InstanceId, LicenseKey,
    ambient::Random,
    proof::Operation,
    request::{ActivateRequest, AgentInfo},
};
use qubictether_agent::{
    Error, Settings,
    activation::Activation,
    clock::Reading,
    core::{Core, Record},
    exchange::{Exchange, Step},
    transport::{Answer, Request},
};

use crate::{
    pool::Pooled,
    scope::Broken,
    server::Server,
    wire::{Ask, Wire},
};

/// A machine with an agent.
#[derive(Clone, PartialEq)]
pub(crate) struct Machine {
    /// Its place in the world; no other machine draws the same random bytes.
    pub(crate) name: u8,
    /// Which install it is, by its fingerprint.
    install: u8,
    /// How often random bytes were drawn. No image brings it back.
    draws: u64,
    pub(crate) folder: Folder,
    /// The operation that waits for an answer.
    waits: Option<(Ask, Exchange)>,
}

/// What is on the disk.
#[derive(Clone, PartialEq)]
pub(crate) struct Folder {
    /// `state.json`
    record: String,
    /// The counter in it, if there is an install.
    counter: Option<u64>,
    /// `activation.json`
    activation: Option<Activation>,
}

/// Who runs agents: what each is told, and what the world around it is at a time.
pub(crate) struct Surroundings<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) server: &'a Server,
    pub(crate) key: &'a LicenseKey,
    /// Whether the agent itself holds the key.
    pub(crate) key_kept: bool,
    /// Unix seconds.
    pub(crate) now: i64,
    /// By how much this machine's wall clock is ahead.
    pub(crate) clock: i64,
    pub(crate) broken: Option<Broken>,
}

/// What came of an answer, or of a beginning.
pub(crate) struct Moved {
    pub(crate) machine: Machine,
    /// What was sent then, and is waited for.
    pub(crate) sent: Option<Wire>,
    /// How the operation ended, if it did.
    pub(crate) result: Option<Result<(), Error>>,
}

/// Random bytes that nobody else draws.
struct Draws {
    name: u8,
    next: AtomicU64,
}

impl Random for Draws {
    fn fill(&self, bytes: &mut [u8]) {
        let draw = self.next.fetch_add(1, Ordering::Relaxed);
        bytes.fill(self.name);
        for (byte, own) in bytes.iter_mut().zip(draw.to_be_bytes()) {
            *byte = own;
        }
    }
}

impl Surroundings<'_> {
    fn reading(&self, machine: u8) -> Reading {
        let (unix, monotonic_ms) = (self.now + self.clock, self.now * 1000);
        Reading { unix, monotonic_ms, boot_id: format!("boot-{machine}") }
    }
}

impl Machine {
    /// A machine that isn't activated.
    pub(crate) fn new(name: u8, settings: &Settings) -> Self {
        let folder = Folder::of(&Core::new(settings), None);
        Self { name, install: name, draws: 0, folder, waits: None }
    }

    /// Another machine with this one's folder.
    pub(crate) fn copied(&self, name: u8) -> Self {
        Self { name, draws: 0, ..self.died() }
    }

    /// This machine with another folder.
    pub(crate) fn restored(&self, folder: &Folder) -> Self {
        Self { folder: folder.clone(), waits: None, ..self.clone() }
    }

    /// The process ends; what is on the disk stays.
    pub(crate) fn died(&self) -> Self {
        Self { waits: None, ..self.clone() }
    }

    /// The process ended after it had sent a request and before it had written anything of it.
    pub(crate) fn died_unwritten(&self, began: &Self) -> Self {
        Self { draws: began.draws, waits: None, ..self.clone() }
    }

    /// Begins an operation. `None`: it can't be, as there is no install or no counter left.
    pub(crate) fn begin(&self, ask: Ask, around: &Surroundings<'_>) -> Option<Moved> {
        let draws = Draws { name: self.name, next: self.draws.into() };
        let mut machine = self.died();
        let mut core = self.core(around);
        let is_answered = |activation: &mut Activation| activation.is_answered_by(core.claims());
        if ask != Ask::Activate && around.broken != Some(Broken::AnsweredActivationKept) {
            machine.folder.activation.take_if(is_answered);
        }
        let (exchange, request) = match ask {
            Ask::Activate => machine.enrol(around, &draws),
            Ask::Beat => self.prove(&mut core, Operation::Heartbeat, around, &draws)?,
            Ask::Rekey => self.prove(&mut core, Operation::Rekey, around, &draws)?,
        };
        Some(machine.sends(&core, (ask, exchange), &request, &draws))
    }

    /// Hears an answer, or that none came.
    pub(crate) fn hear(&self, answer: Option<&Answer>, around: &Surroundings<'_>) -> Moved {
        let draws = Draws { name: self.name, next: self.draws.into() };
        let mut machine = self.died();
        let Some((ask, mut exchange)) = self.waits.clone() else {
            return Moved { machine, sent: None, result: None };
        };
        let mut core = self.core(around);
        let reading = around.reading(self.name);
        let mut answer = answer.cloned().ok_or(Error::TimedOut);
        let result = loop {
            match exchange.hear(&mut core, answer, &reading, &draws) {
                Step::Send(request) if Wire::of(self.name, &request).is_none() => {
                    answer = Ok(around.server.keyset.clone());
                }
                Step::Send(request) => return machine.sends(&core, (ask, exchange), &request, &draws),
                Step::Done(result) => break result,
            }
        };
        machine.keep(&core, &draws);
        if ask == Ask::Activate && Activation::is_ended_by(&result) {
            machine.folder.activation = None;
        }
        if around.key_kept && ask == Ask::Beat && matches!(result, Err(Error::ActivationNeeded)) {
            let (exchange, request) = machine.enrol(around, &draws);
            return machine.sends(&core, (Ask::Activate, exchange), &request, &draws);
        }
        Moved { machine, sent: None, result: Some(result) }
    }

    /// This machine, had it died before it forgot the activation that it has the answer of.
    pub(crate) fn remembering(&self, before: &Self) -> Self {
        let mut machine = self.clone();
        machine.folder.activation.clone_from(&before.folder.activation);
        machine
    }

    fn enrol(&mut self, around: &Surroundings<'_>, draws: &Draws) -> (Exchange, Request) {
        let pending = self.folder.activation.take();
        let reading = around.reading(self.name);
        let product = &around.server.product;
        let activation = Activation::resume(pending, product, around.key, &reading, draws);
        let request = ActivateRequest {
            license_key: around.key.into(),
            nonce: activation.nonce(),
            instance_id: InstanceId::from_bytes([self.name; 16]),
            name: None,
            fingerprint: fingerprint(self.install),
            agent: AgentInfo { version: "1.0.0".into(), platform: "model".into() },
        };
        let body = serde_json::to_vec(&request).expect("a request is a struct of plain values");
        let begun = Exchange::activate(activation.nonce(), body);
        self.folder.activation = Some(activation);
        begun
    }

    fn prove(
        &self,
        core: &mut Core,
        operation: Operation,
        around: &Surroundings<'_>,
        draws: &Draws,
    ) -> Option<(Exchange, Request)> {
        let body = (operation == Operation::Heartbeat).then(|| b"{}".to_vec());
        Exchange::prove(core, operation, body, &around.reading(self.name), draws).ok()
    }

    /// Writes what it knows, then sends.
    fn sends(mut self, core: &Core, waits: (Ask, Exchange), request: &Request, draws: &Draws) -> Moved {
        self.keep(core, draws);
        self.waits = Some(waits);
        Moved { sent: Wire::of(self.name, request), machine: self, result: None }
    }

    fn keep(&mut self, core: &Core, draws: &Draws) {
        self.folder = Folder::of(core, self.folder.activation.take());
        self.draws = draws.next.load(Ordering::Relaxed);
    }

    fn core(&self, around: &Surroundings<'_>) -> Core {
        let record: Record = serde_json::from_str(&self.folder.record).expect("an agent reads what it wrote");
        Core::open(record, around.settings).expect("an agent believes what it wrote")
    }

    /// Whether the folder holds an install.
    pub(crate) const fn is_activated(&self) -> bool {
        self.folder.counter.is_some()
    }

    /// Whether an activation is to be asked for again.
    pub(crate) const fn is_activating(&self) -> bool {
        self.folder.activation.is_some()
    }

    /// The last counter that is on the disk.
    pub(crate) fn counter(&self) -> u64 {
        self.folder.counter.unwrap_or(0)
    }
}

impl Folder {
    fn of(core: &Core, activation: Option<Activation>) -> Self {
        let record = serde_json::to_value(core.record()).expect("a record is a struct of plain values");
        let counter = record.pointer("/install/counter").and_then(serde_json::Value::as_u64);
        Self { record: record.to_string(), counter, activation }
    }
}

/// What identifies the machine of an install, and its copies too.
pub(crate) fn fingerprint(install: u8) -> Fingerprint {
    let value = char::from(b'A' + install).to_string().repeat(42) + "A";
    Fingerprint::new([("dongle", value)]).expect("it is a digest's base64url")
}

impl Pooled for Machine {
    fn key(&self) -> Vec<u8> {
        let activation = serde_json::to_vec(&self.folder.activation).unwrap_or_default();
        let waits = u8::from(self.waits.is_some());
        let head = [&[self.name, waits][..], &self.draws.to_be_bytes(), &activation].concat();
        [&head, self.folder.record.as_bytes()].concat()
    }

    fn is(&self, other: &Self) -> bool {
        self == other
    }
}
