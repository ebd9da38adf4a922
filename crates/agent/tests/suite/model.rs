//! The pure core under whatever may happen, in any order: without files, network and clocks.

use proptest::prelude::*;
use protocol::{
    Nonce,
    ambient::SeededRandom,
    proof::Operation,
    request::{ActivateRequest, AgentInfo},
};
use qubictether_agent::{
    Error, Settings,
    clock::{Clocks, Reading},
    core::{Core, Record},
    exchange::{Exchange, Step},
    transport::{Answer, Request},
};

use crate::{
    machine::HandClocks,
    rig::license_key,
    server::{ISSUER, NOW, Server, product},
};

/// What may happen to an agent.
#[derive(Clone, Debug)]
enum Event {
    Beat(Fate),
    Rekey(Fate),
    Rotate,
    SucceedRoot,
    /// The process ends, and another reads what was kept.
    Restart,
    Pass(i64),
    /// The machine is off for a while, and its wall clock is turned.
    Reboot {
        off: i64,
        turned: i64,
    },
}

/// What becomes of each answer to an operation.
#[derive(Clone, Debug)]
enum Fate {
    Arrives,
    Lost,
    /// Bytes that somebody made up.
    Replaced(u16, Vec<u8>),
    /// One byte is another.
    Changed(usize, u8),
    /// The process ends before the answer comes.
    Crash,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Arrives),
        2 => Just(Fate::Lost),
        1 => (prop_oneof![Just(200_u16), Just(201), Just(401), any::<u16>()], prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(status, bytes)| Fate::Replaced(status, bytes)),
        2 => (any::<usize>(), 1_u8..).prop_map(|(at, by)| Fate::Changed(at, by)),
        1 => Just(Fate::Crash),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => fate().prop_map(Event::Beat),
        1 => fate().prop_map(Event::Rekey),
        1 => Just(Event::Rotate),
        1 => Just(Event::SucceedRoot),
        2 => Just(Event::Restart),
        3 => (0_i64..4000).prop_map(Event::Pass),
        1 => (0_i64..100_000, -10_000_i64..10_000).prop_map(|(off, turned)| Event::Reboot { off, turned }),
    ]
}

/// An agent whose disk is a record.
struct Model {
    server: Server,
    clocks: HandClocks,
    random: SeededRandom,
    settings: Settings,
    core: Core,
    disk: Record,
    /// The counters that were sent.
    sent: Vec<u64>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let server = Server::new();
        let settings =
            Settings::new(ISSUER.parse().unwrap(), product(), server.books().root.public().clone());
        let core = Core::new(&settings);
        let disk = core.record();
        let (clocks, random) = (HandClocks::at(NOW), SeededRandom::new(seed));
        Self { server, clocks, random, settings, core, disk, sent: Vec::new() }
    }

    fn activate(&mut self) -> Result<(), Error> {
        let nonce = Nonce::from_bytes(&[5; 24]).unwrap();
        let request = ActivateRequest {
            license_key: (&license_key()).into(),
            nonce,
            instance_id: protocol::InstanceId::from_bytes([6; 16]),
            name: None,
            fingerprint: protocol::fingerprint::Fingerprint::new([("dongle", "A".repeat(43))]).unwrap(),
            agent: AgentInfo { version: "1.4.2".into(), platform: "test".into() },
        };
        let (exchange, request) = Exchange::activate(nonce, serde_json::to_vec(&request).unwrap());
        self.converse(exchange, request, &Fate::Arrives)
    }

    fn prove(&mut self, operation: Operation, fate: &Fate) -> Result<(), Error> {
        let body = (operation == Operation::Heartbeat).then(|| b"{}".to_vec());
        let (exchange, request) =
            Exchange::prove(&mut self.core, operation, body, &self.clocks.read(), &self.random)?;
        self.converse(exchange, request, fate)
    }

    fn converse(&mut self, mut exchange: Exchange, mut request: Request, fate: &Fate) -> Result<(), Error> {
        for _ in 0..40 {
            self.disk = self.core.record();
            if let Some(header) = &request.authorization {
                let proof = protocol::proof::ProofHeader::parse(header.as_bytes()).unwrap();
                self.sent.push(proof.counter.value());
            }
            let answer = self.server.answer(&request).map(|answer| tampered(answer, fate));
            let answer = match fate {
                Fate::Lost => Err(Error::TimedOut),
                Fate::Crash => {
                    self.restart();
                    return Err(Error::TimedOut);
                }
                _ => answer,
            };
            match exchange.hear(&mut self.core, answer, &self.clocks.read(), &self.random) {
                Step::Send(next) => request = next,
                Step::Done(result) => {
                    self.disk = self.core.record();
                    return result;
                }
            }
        }
        panic!("an operation that doesn't end");
    }

    fn restart(&mut self) {
        self.core = Core::open(self.disk.clone(), &self.settings).unwrap();
    }

    /// What was decided, and when.
    fn decided(&self) -> (policy::State, i64, String) {
        let claims = self.core.claims().unwrap();
        (claims.state, claims.iat, claims.jti.to_string())
    }
}

fn tampered(mut answer: Answer, fate: &Fate) -> Answer {
    match fate {
        Fate::Replaced(status, bytes) => {
            Answer { status: *status, body: bytes.clone().into(), ..Answer::default() }
        }
        Fate::Changed(at, by) if !answer.body.is_empty() => {
            let at = at % answer.body.len();
            answer.body[at] ^= by;
            answer
        }
        _ => answer,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_counters_grow_failures_decide_nothing_and_an_honest_answer_is_heard(
        seed: u64,
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut model = Model::new(seed);
        model.activate().unwrap();
        for event in events {
            match event {
                Event::Beat(fate) => {
                    let before = model.decided();
                    let result = model.prove(Operation::Heartbeat, &fate);
                    if result.is_err() {
                        prop_assert_eq!(model.decided(), before);
                    }
                    if matches!(fate, Fate::Arrives) {
                        prop_assert!(result.is_ok(), "{:?}", result);
                    }
                }
                Event::Rekey(fate) => drop(model.prove(Operation::Rekey, &fate)),
                Event::Rotate => model.server.books().rotate(),
                Event::SucceedRoot => {
                    let mut books = model.server.books();
                    books.succeed_root();
                    books.publish();
                }
                Event::Restart => model.restart(),
                Event::Pass(seconds) => {
                    model.clocks.pass(seconds);
                    model.server.books().clock.advance(seconds);
                }
                Event::Reboot { off, turned } => {
                    model.clocks.turn(turned);
                    model.clocks.restart(off);
                    model.server.books().clock.advance(off);
                    model.restart();
                }
            }
            let now: Reading = model.clocks.read();
            prop_assert!(model.core.position(&now, || None).is_some());
        }
        prop_assert!(model.sent.is_sorted_by(|one, next| one < next), "{:?}", model.sent);
        let last = model.prove(Operation::Heartbeat, &Fate::Arrives);
        prop_assert!(last.is_ok(), "{:?}", last);
        let (position, _) = model.core.position(&model.clocks.read(), || None).unwrap();
        prop_assert_eq!(position.state, policy::State::Authorized);
    }
}
