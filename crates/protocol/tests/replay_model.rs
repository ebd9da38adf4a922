//! The replay window against a naive model, and against simulated agents: nothing honest looks like a fork, and a
//! copy does soon.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use protocol::{
    Counter, Nonce,
    ambient::{self, Random, SeededRandom},
    replay::{Arrival, ReplayState},
};

const START: i64 = 1_790_000_000;

fn counter(value: u64) -> Counter {
    Counter::new(value).unwrap()
}

fn nonce(number: u64) -> Nonce {
    Nonce::from_bytes(&[number.to_be_bytes(), number.to_le_bytes()].concat()).unwrap()
}

/// The table as it is told: sets, and nothing packed.
#[derive(Default)]
struct Naive {
    high: u64,
    accepted: BTreeSet<u64>,
    /// When each was accepted, the oldest first.
    nonces: Vec<(i64, u64)>,
}

impl Naive {
    fn classify(&self, counter: u64, nonce: u64, now: i64) -> Arrival {
        if self.nonces.iter().any(|(at, own)| *own == nonce && now - at < 900) {
            Arrival::NonceReplayed
        } else if counter > self.high {
            Arrival::Fresh
        } else if counter + 255 >= self.high && !self.accepted.contains(&counter) {
            Arrival::Stale
        } else {
            Arrival::Fork
        }
    }

    fn remember(&mut self, nonce: u64, now: i64) {
        self.nonces.retain(|(at, _)| now - at < 900);
        self.nonces.push((now, nonce));
        let excess = self.nonces.len().saturating_sub(256);
        self.nonces.drain(..excess);
    }
}

#[derive(Clone, Debug)]
struct Step {
    wait: i64,
    /// Added to the highest counter.
    ahead: i64,
    nonce: u64,
    restart: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ahead = prop_oneof![6 => -3..=3_i64, 3 => -300..=300_i64, 1 => -2000..=2000_i64];
    let wait = prop_oneof![8 => 0..5_i64, 1 => 100..1000_i64];
    let nonce = prop_oneof![1 => 0..20_u64, 3 => any::<u64>()];
    let step = (wait, ahead, nonce, prop::bool::weighted(0.01));
    prop::collection::vec(
        step.prop_map(|(wait, ahead, nonce, restart)| Step { wait, ahead, nonce, restart }),
        1..600,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_window_agrees_with_the_naive_model(steps in steps()) {
        let (mut state, mut naive, mut now) = (ReplayState::default(), Naive::default(), START);
        for Step { wait, ahead, nonce: number, restart } in steps {
            now += wait;
            if restart {
                state.restart();
                naive.high = 0;
                naive.accepted.clear();
            }
            let value = naive.high.saturating_add_signed(ahead).max(1);
            let arrival = state.classify(counter(value), &nonce(number), now);
            prop_assert_eq!(arrival, naive.classify(value, number, now));
            match arrival {
                Arrival::Fresh => {
                    state.accept(counter(value), &nonce(number), now);
                    naive.high = value;
                    naive.accepted.insert(value);
                    naive.remember(number, now);
                }
                Arrival::Fork => {
                    state.note_fork(&nonce(number), now);
                    naive.remember(number, now);
                }
                Arrival::NonceReplayed | Arrival::Stale => {}
            }
            prop_assert_eq!(state.high(), naive.high);
            // Whatever was stored is what is read back.
            state = ReplayState::from_bytes(state.high(), state.window_bytes(), state.nonce_bytes()).unwrap();
        }
    }
}

/// A number below `bound`, near enough to uniform.
fn below(random: &SeededRandom, bound: u64) -> u64 {
    u64::from_be_bytes(ambient::array(random)) % bound
}

#[derive(Clone, Copy)]
struct Request {
    counter: u64,
    nonce: Nonce,
    sent: i64,
}

/// What an agent keeps: the last counter that it wrote down, and the highest that it was told.
#[derive(Clone, Default)]
struct Agent {
    written: u64,
    told: u64,
}

impl Agent {
    fn attempt(&mut self, random: &dyn Random, sent: i64) -> Request {
        self.written = self.written.max(self.told) + 1;
        Request {
            counter: self.written,
            nonce: Nonce::from_bytes(&ambient::array::<16>(random)).unwrap(),
            sent,
        }
    }
}

/// What the server makes of a request: nothing if its proof's bucket is over, else its row of the table.
fn arrive(state: &mut ReplayState, request: Request, now: i64) -> Option<Arrival> {
    if now.div_euclid(300) - request.sent.div_euclid(300) > 1 {
        return None;
    }
    let arrival = state.classify(counter(request.counter), &request.nonce, now);
    match arrival {
        Arrival::Fresh => state.accept(counter(request.counter), &request.nonce, now),
        Arrival::Fork => state.note_fork(&request.nonce, now),
        Arrival::NonceReplayed | Arrival::Stale => {}
    }
    Some(arrival)
}

/// Requests and answers are lost; requests come late, twice, out of order; the agent crashes before and after it
/// sends, and starts again with what it wrote down; it activates again now and then.
#[test]
fn nothing_honest_looks_like_a_fork() {
    let (mut seen, mut beats) = ([0_u64; 3], 0);
    for seed in 0..2_500 {
        let random = SeededRandom::new(seed);
        let (mut state, mut agent, mut now) = (ReplayState::default(), Agent::default(), START);
        let mut on_the_way: Vec<Request> = Vec::new();
        for _ in 0..400 {
            now += 3 + i64::try_from(below(&random, 60)).unwrap();
            let request = agent.attempt(&random, now);
            beats += 1;
            let fate = below(&random, 10);
            let copies = match fate {
                0 => 0, // lost, or the agent crashed after it had written the counter
                1 | 2 => 2,
                _ => 1,
            };
            on_the_way.extend(std::iter::repeat_n(request, copies));
            // The network delivers some of what is on its way, in any order, some of it much later.
            while !on_the_way.is_empty() && below(&random, 4) != 0 {
                let index = usize::try_from(below(&random, on_the_way.len() as u64)).unwrap();
                let arriving = on_the_way.swap_remove(index);
                match arrive(&mut state, arriving, now) {
                    Some(Arrival::Fork) => panic!("seed {seed}: an honest request looks like a fork"),
                    Some(Arrival::Fresh) => {
                        seen[0] += 1;
                        if below(&random, 3) != 0 {
                            agent.told = state.high();
                        }
                    }
                    Some(Arrival::Stale) => seen[1] += 1,
                    Some(Arrival::NonceReplayed) => seen[2] += 1,
                    None => {}
                }
            }
            if below(&random, 200) == 0 {
                // Activated again: a new secret, so what is still on its way proves nothing any more.
                state.restart();
                agent = Agent::default();
                on_the_way.clear();
            }
        }
    }
    assert_eq!(beats, 1_000_000);
    assert!(seen.iter().all(|count| *count > 1_000), "every other row was reached: {seen:?}");
}

/// Two machines with one state on disk, each beating when it will.
#[test]
fn a_copy_is_seen_at_the_first_beat_of_whichever_is_behind() {
    for seed in 0..500 {
        let random = SeededRandom::new(seed);
        let (mut state, mut now) = (ReplayState::default(), START);
        let mut original = Agent::default();
        for _ in 0..below(&random, 20) {
            now += 60;
            let request = original.attempt(&random, now);
            assert_eq!(arrive(&mut state, request, now), Some(Arrival::Fresh));
            original.told = state.high();
        }
        let mut copies = [original.clone(), original];
        let mut beaten = BTreeSet::new();
        let forked = (0..1_000).find(|_| {
            now += 60;
            let index = usize::try_from(below(&random, 2)).unwrap();
            let behind = copies[index].written.max(copies[index].told) < state.high();
            let request = copies[index].attempt(&random, now);
            beaten.insert(index);
            let arrival = arrive(&mut state, request, now);
            copies[index].told = state.high();
            assert_eq!(behind, arrival == Some(Arrival::Fork), "seed {seed}");
            behind
        });
        assert!(forked.is_some() && beaten.len() == 2, "seed {seed}: by the time that both had beaten");
    }
}

/// The one that is ahead has gaps where its attempts were lost: the other falls into at most as many of them first.
#[test]
fn losses_delay_the_discovery_of_a_copy_by_no_more_than_their_number() {
    for lost in 0..50 {
        let random = SeededRandom::new(lost);
        let (mut state, mut ahead) = (ReplayState::default(), Agent::default());
        let mut behind = ahead.clone();
        for _ in 0..lost {
            ahead.attempt(&random, START);
        }
        assert_eq!(arrive(&mut state, ahead.attempt(&random, START), START), Some(Arrival::Fresh));
        for _ in 0..lost {
            assert_eq!(arrive(&mut state, behind.attempt(&random, START), START), Some(Arrival::Stale));
        }
        assert_eq!(arrive(&mut state, behind.attempt(&random, START), START), Some(Arrival::Fork));
    }
}
