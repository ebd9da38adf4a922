//! Signing keys under whatever order of events: processes whose clocks differ, transactions that take their time,
//! rotations and tainted keys at any moment.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::collections::HashMap;

use jose_jwt::SigningKey;
use keyring::signing::{
    KeyRecord, KeyUse, LONGEST_TOKEN, OVERLAP, Pace, READ_WITHIN, Stage, Step, StepError, is_rotation_due,
    rotate, signer, taint,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

const START: i64 = 1_000_000;
const LEASE: i64 = 31_622_400;

/// By how much clocks differ from the true time, and how long a transaction takes from its look at the clock to its
/// commit, at most. Together they are what [`OVERLAP`] allows for.
const SKEW: i64 = 15;
const SLOW: i64 = 25;

#[derive(Clone, Debug)]
enum Event {
    Pass(i64),
    Read(usize),
    Sign(usize, KeyUse),
    /// A process rotates; so long ago it looked at its clock.
    Rotate(usize, KeyUse, i64),
    /// A process rotates if that is due.
    Tend(usize, i64),
    /// The key of this number, of all that there ever were, is found not to be trusted.
    Taint(usize, prop::sample::Index),
}

fn event() -> impl Strategy<Value = Event> {
    let process = 0..3_usize;
    let key_use = prop::sample::select(&KeyUse::ALL[..]);
    prop_oneof![
        4 => (1..=100_i64).prop_map(Event::Pass),
        1 => (1..=3_000_000_i64).prop_map(Event::Pass),
        2 => process.clone().prop_map(Event::Read),
        6 => (process.clone(), key_use.clone()).prop_map(|(process, key_use)| Event::Sign(process, key_use)),
        3 => (process.clone(), key_use, 0..=SLOW).prop_map(|(process, key_use, slow)| Event::Rotate(process, key_use, slow)),
        2 => (process.clone(), 0..=SLOW).prop_map(|(process, slow)| Event::Tend(process, slow)),
        1 => (process, any::<prop::sample::Index>()).prop_map(|(process, index)| Event::Taint(process, index)),
    ]
}

/// A server process: what it read, and when by its own clock.
struct Process {
    skew: i64,
    read_at: i64,
    records: Vec<KeyRecord>,
}

struct World {
    now: i64,
    pace: Pace,
    records: Vec<KeyRecord>,
    made: u64,
    processes: Vec<Process>,
    /// Until when what a key has signed is valid, the longest.
    signed: HashMap<String, i64>,
    /// Keys that signed before their lead was over, because another was tainted.
    hurried: Vec<String>,
}

impl World {
    fn new(pace: Pace, skews: &[i64; 3]) -> Self {
        let mut world = Self {
            now: START,
            pace,
            records: Vec::new(),
            made: 0,
            processes: Vec::new(),
            signed: HashMap::new(),
            hurried: Vec::new(),
        };
        for key_use in KeyUse::ALL {
            world.publish(key_use, START, Some(START - SKEW));
            world.publish(key_use, START, None);
        }
        let process =
            |skew: &i64| Process { skew: *skew, read_at: START + skew, records: world.records.clone() };
        world.processes = skews.iter().map(process).collect();
        world
    }

    fn publish(&mut self, key_use: KeyUse, publish_at: i64, sign_from: Option<i64>) {
        self.made += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.made.to_le_bytes());
        self.records.push(KeyRecord {
            key_use,
            public: SigningKey::from_seed(&seed).public().clone(),
            publish_at,
            sign_from,
            sign_until: None,
            verify_until: None,
            tainted_at: None,
        });
    }

    fn clock(&self, process: usize) -> i64 {
        self.now + self.processes[process].skew
    }

    fn read(&mut self, process: usize) {
        self.processes[process].read_at = self.clock(process);
        self.processes[process].records.clone_from(&self.records);
    }

    fn take(&mut self, step: Step, at: i64) {
        for changed in step.changed {
            let record = self.records.iter_mut().find(|record| record.public == changed.public).unwrap();
            *record = changed;
        }
        for key_use in step.prepare {
            self.publish(key_use, at, None);
        }
    }

    fn rotate(&mut self, process: usize, key_use: KeyUse, slow: i64) {
        let at = self.clock(process) - slow;
        match rotate(&self.records, key_use, self.pace, LEASE, at) {
            Ok(step) => self.take(step, at),
            Err(StepError::TooEarly { from, .. }) => assert!(at < from),
            Err(other) => panic!("{other}"),
        }
    }

    fn taint(&mut self, process: usize, kid: &str) {
        let at = self.clock(process);
        match taint(&self.records, kid, at) {
            Ok(step) => {
                self.hurried.extend(step.changed.iter().skip(1).map(|record| record.kid().to_owned()));
                self.take(step, at);
            }
            Err(StepError::Retired(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }

    /// A process signs, as processes do: with what it read within [`READ_WITHIN`] seconds.
    fn sign(&mut self, process: usize, key_use: KeyUse) {
        let clock = self.clock(process);
        if clock - self.processes[process].read_at >= READ_WITHIN {
            self.read(process);
        }
        let seen = &self.processes[process];
        let kid =
            signer(&seen.records, key_use, clock).expect("there always is one that signs").kid().to_owned();
        let key = self.records.iter().find(|record| record.kid() == kid).unwrap();
        if key.tainted_at.is_some() {
            let knew = seen.records.iter().any(|record| record.kid() == kid && record.tainted_at.is_some());
            assert!(!knew, "it signs with a key that it knows to be tainted");
            return;
        }
        assert!(key.sign_until.is_none_or(|until| self.now < until), "past its end: {key:?} at {}", self.now);
        let published = self.now - key.publish_at;
        let first = key.publish_at == START;
        assert!(
            first || self.hurried.contains(&kid) || published >= self.pace.lead - 2 * SKEW - SLOW,
            "published for {published} s only"
        );
        let longest = if key_use == KeyUse::Token { LONGEST_TOKEN } else { LEASE };
        let valid_until = self.signed.entry(kid).or_default();
        *valid_until = (clock + longest).max(*valid_until);
    }

    fn check(&self) {
        for key_use in KeyUse::ALL {
            let count = |stage| {
                let of = self.records.iter().filter(|record| record.key_use == key_use);
                of.filter(|record| record.stage(self.now) == stage).count()
            };
            assert_eq!((count(Stage::Active), count(Stage::Prepared)), (1, 1), "{key_use:?}");
        }
        for record in &self.records {
            let valid = self.signed.get(record.kid()).is_some_and(|until| self.now < *until);
            // Whatever the verifier's source of keys has for a clock.
            let listed = [-SKEW, SKEW].iter().all(|skew| record.is_listed(self.now + skew));
            assert!(
                !valid || listed || record.tainted_at.is_some(),
                "something valid of {record:?} is refused"
            );
        }
    }
}

// A process may have read just before the commit; from then on it has READ_WITHIN seconds, by its own clock.
const _: () = assert!(READ_WITHIN + SKEW + SLOW <= OVERLAP - SKEW);

proptest! {
    #![proptest_config(Config { cases: 400, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() })]

    #[test]
    fn in_whatever_order_every_signature_is_valid_until_its_end_and_somebody_can_always_sign(
        lead in prop_oneof![Just(0), 1..200_i64, Just(86_400)],
        rotate_after in prop_oneof![1..200_i64, Just(7_776_000)],
        skews in prop::array::uniform3(-SKEW..=SKEW),
        events in prop::collection::vec(event(), 1..150),
    ) {
        let mut world = World::new(Pace { lead, rotate_after }, &skews);
        for event in events {
            match event {
                Event::Pass(seconds) => world.now += seconds,
                Event::Read(process) => world.read(process),
                Event::Sign(process, key_use) => world.sign(process, key_use),
                Event::Rotate(process, key_use, slow) => world.rotate(process, key_use, slow),
                Event::Tend(process, slow) => {
                    for key_use in KeyUse::ALL {
                        if is_rotation_due(&world.records, key_use, world.pace, world.clock(process) - slow) {
                            world.rotate(process, key_use, slow);
                        }
                    }
                }
                Event::Taint(process, index) => {
                    let kid = index.get(&world.records).kid().to_owned();
                    world.taint(process, &kid);
                }
            }
            world.check();
        }
    }
}
