//! What the real code makes of things, computed once each.

use protocol::{LicenseKey, Nonce, problem::Code};
use qubictether_agent::{Error, Settings, transport::Answer};

use crate::{
    install::Install,
    machine::{Machine, Moved, Surroundings},
    pool::{Id, Memo, Pool},
    scope::{Broken, Scope},
    seen::{Seen, Situation},
    server::{self, How, Server},
    wire::{Ask, Wire},
};

/// A second after the beginning of a proof's bucket.
const START: i64 = 1_790_000_101;

/// Proofs are good for the span of this many seconds in which they are made, and for the next.
const TICK: i64 = protocol::proof::BUCKET_SECONDS;

/// How often five minutes have passed.
pub(crate) type Tick = u8;

/// An install in the database, if it is there.
pub(crate) type Row = Option<Id<Install>>;

/// An answer, if one came.
pub(crate) type Heard = Option<Id<Answer>>;

/// Unix seconds.
pub(crate) const fn instant(tick: Tick) -> i64 {
    START + TICK * tick as i64
}

/// The values that worlds are made of, and what was computed of them.
pub(crate) struct Known {
    pub(crate) machines: Pool<Machine>,
    pub(crate) installs: Pool<Install>,
    pub(crate) wires: Pool<Wire>,
    pub(crate) answers: Pool<Answer>,
    pub(crate) seen: Seen,
    pub(crate) server: Server,
    pub(crate) settings: Settings,
    key: LicenseKey,
    scope: Scope,
    broken: Option<Broken>,
    begun: Memo<(Id<Machine>, Ask, Tick), Option<Step>>,
    heard: Memo<(Id<Machine>, Heard, Tick), Step>,
    verdicts: Memo<(Row, Id<Wire>, Tick), Verdict>,
    served: Memo<(Id<Install>, Id<Wire>, Tick), bool>,
    lives: Memo<(Id<Machine>, Row, Tick), bool>,
    died: Memo<Id<Machine>, Id<Machine>>,
}

/// How a machine went on.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) machine: Id<Machine>,
    pub(crate) sent: Option<Id<Wire>>,
}

/// What a process makes of a request.
#[derive(Clone, Copy)]
pub(crate) struct Verdict {
    pub(crate) answer: Id<Answer>,
    pub(crate) judged: Option<(Id<Install>, How)>,
}

impl Known {
    pub(crate) fn new(scope: &Scope, broken: Option<Broken>) -> Self {
        let server = Server::new(broken, START);
        let url = server::ISSUER.parse().expect("it is a URL");
        let settings = Settings::new(url, server.product.clone(), server.root.public().clone());
        Self {
            machines: Pool::default(),
            installs: Pool::default(),
            wires: Pool::default(),
            answers: Pool::default(),
            seen: Seen::default(),
            server,
            settings,
            key: LicenseKey::generate([7; 18]),
            scope: scope.clone(),
            broken,
            begun: Memo::default(),
            heard: Memo::default(),
            verdicts: Memo::default(),
            served: Memo::default(),
            lives: Memo::default(),
            died: Memo::default(),
        }
    }

    fn around(&self, machine: &Machine, now: i64) -> Surroundings<'_> {
        let is_copy = usize::from(machine.name) >= self.scope.machines;
        Surroundings {
            settings: &self.settings,
            server: &self.server,
            key: &self.key,
            key_kept: self.scope.key_kept,
            now,
            clock: if is_copy { self.scope.copy_clock } else { 0 },
            broken: self.broken,
        }
    }

    fn step(&self, moved: Moved) -> Step {
        if matches!(moved.result, Some(Err(Error::ActivationNeeded))) {
            self.seen.add(Situation::ActivationNeeded);
        }
        Step { machine: self.machines.put(moved.machine), sent: moved.sent.map(|wire| self.wires.put(wire)) }
    }

    /// A machine after it began an operation, if it could.
    pub(crate) fn begin(&self, machine: Id<Machine>, ask: Ask, tick: Tick) -> Option<Step> {
        self.begun.of((machine, ask, tick), |_| {
            let machine = self.machines.at(machine);
            let moved = machine.begin(ask, &self.around(&machine, instant(tick)))?;
            Some(self.step(moved))
        })
    }

    /// A machine after it heard an answer, or none.
    pub(crate) fn hear(&self, machine: Id<Machine>, answer: Heard, tick: Tick) -> Step {
        self.heard.of((machine, answer, tick), |_| {
            let machine = self.machines.at(machine);
            let answer = answer.map(|answer| self.answers.at(answer));
            let around = self.around(&machine, instant(tick));
            self.step(machine.hear(answer.as_deref(), &around))
        })
    }

    /// A machine after its process ended.
    pub(crate) fn died(&self, machine: Id<Machine>) -> Id<Machine> {
        self.died.of(machine, |_| self.machines.put(self.machines.at(machine).died()))
    }

    /// What a process makes of a request to an install as it read it.
    pub(crate) fn judge(&self, row: Row, wire: Id<Wire>, tick: Tick) -> Verdict {
        self.verdicts.of((row, wire, tick), |_| {
            let row = row.map(|row| self.installs.at(row));
            let wire = self.wires.at(wire);
            let judgement = self.server.judge(row.as_deref(), &wire, instant(tick));
            let situation = match (judgement.code, judgement.judged.as_ref().map(|(_, how)| *how)) {
                (_, Some(How::Fork)) => Situation::Fork,
                (_, Some(How::Activated)) => Situation::Activated,
                (_, Some(How::Retried)) => Situation::Retried,
                (Some(Code::NonceReplayed), _) => Situation::Replayed,
                (Some(Code::CounterStale), _) => Situation::Stale,
                (Some(Code::SlowDown), _) => Situation::TooOften,
                (Some(_), _) => Situation::Unproven,
                (None, _) if wire.ask == Ask::Rekey => Situation::Rekeyed,
                (None, _) => Situation::Accepted,
            };
            self.seen.add(situation);
            Verdict {
                answer: self.answers.put(judgement.answer),
                judged: judgement.judged.map(|(install, how)| (self.installs.put(install), how)),
            }
        })
    }

    /// Whether a request's proof holds for this install at this time or at any later one. What doesn't will never do
    /// anything again: secrets that are dead and times that are over don't come back.
    pub(crate) fn is_served(&self, row: Id<Install>, wire: Id<Wire>, tick: Tick) -> bool {
        self.served.of((row, wire, tick), |_| {
            let (row, wire) = (self.installs.at(row), self.wires.at(wire));
            (tick..=self.scope.ticks).any(|tick| server::prove(&row, &wire, instant(tick)).is_some())
        })
    }

    /// Whether the counter is stored as accepted.
    pub(crate) fn is_stored(&self, row: Id<Install>, counter: u64, tick: Tick) -> bool {
        use protocol::{Counter, replay::Arrival};

        let unheard_of = Nonce::from_bytes(&[255; 32]).expect("a nonce has 16 to 32 bytes");
        let counter = Counter::new(counter).expect("it was accepted");
        self.installs.at(row).replay.classify(counter, &unheard_of, instant(tick)) == Arrival::Fork
    }

    /// Whether a machine whose process is started now can get on, with a network and a process that do what they should:
    /// it beats, or its license key activates it. Whoever waits for an activation's answer has the key.
    pub(crate) fn gets_on(&self, machine: Id<Machine>, row: Row, tick: Tick) -> bool {
        self.lives.of((machine, row, tick), |_| {
            let row = row.map(|row| (*self.installs.at(row)).clone());
            self.lives(&self.machines.at(machine), row, instant(tick))
        })
    }

    fn lives(&self, machine: &Machine, mut row: Option<Install>, mut now: i64) -> bool {
        const ATTEMPTS: usize = 8;
        const PAUSE: i64 = 60;
        let mut machine = machine.died();
        for _ in 0..ATTEMPTS {
            let ask = if machine.is_activated() { Ask::Beat } else { Ask::Activate };
            let around = |machine: &Machine, now| Surroundings {
                key_kept: self.scope.key_kept || machine.is_activating(),
                ..self.around(machine, now)
            };
            let Some(mut moved) = machine.begin(ask, &around(&machine, now)) else {
                return false;
            };
            while let Some(wire) = moved.sent {
                let judgement = self.server.judge(row.as_ref(), &wire, now);
                row = judgement.judged.map(|(install, _)| install).or(row);
                moved = moved.machine.hear(Some(&judgement.answer), &around(&machine, now));
            }
            match moved.result {
                Some(Ok(())) => return true,
                Some(Err(Error::ActivationNeeded)) => return false,
                _ => machine = moved.machine,
            }
            now += PAUSE;
        }
        false
    }

    /// How often real code was run for something that wasn't known.
    pub(crate) fn computed(&self) -> usize {
        let Self { begun, heard, verdicts, served, lives, .. } = self;
        begun.len() + heard.len() + verdicts.len() + served.len() + lives.len()
    }
}
