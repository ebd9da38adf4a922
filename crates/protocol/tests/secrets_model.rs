//! What serves until when, against a naive model, and against agents whose answers are lost.

use std::collections::BTreeSet;

use proptest::prelude::*;
use protocol::{
    Secret,
    ambient::{self, SeededRandom},
    secrets::Secrets,
};

fn secret(number: u64) -> Secret {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Secret::from_bytes(bytes)
}

/// The same rules as sets of numbers; a secret's number is its age.
#[derive(Default)]
struct Naive {
    issued: u64,
    serving: BTreeSet<u64>,
    proven: BTreeSet<u64>,
}

impl Naive {
    fn issue(&mut self, kept: impl Fn(&Self, u64) -> bool) -> u64 {
        let serving = self.serving.iter().copied().filter(|number| kept(self, *number)).collect();
        self.serving = serving;
        self.issued += 1;
        self.serving.insert(self.issued);
        self.issued
    }

    fn newest(&self, proven: bool) -> Option<u64> {
        self.serving.iter().copied().rfind(|number| self.proven.contains(number) == proven)
    }

    fn used(&mut self, used: u64) {
        self.proven.insert(used);
        let newest = self.serving.last() == Some(&used);
        let (serving, proven) = (self.serving.clone(), &self.proven);
        self.serving =
            serving.into_iter().filter(|own| *own >= used || !(newest || proven.contains(own))).collect();
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Activate,
    Retry,
    /// Which of those that serve.
    Use(usize),
    Rekey(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Activate),
        3 => Just(Step::Retry),
        4 => any::<usize>().prop_map(Step::Use),
        4 => any::<usize>().prop_map(Step::Rekey),
    ];
    prop::collection::vec(step, 1..100)
}

proptest! {
    #[test]
    fn the_slots_agree_with_the_naive_model(steps in steps()) {
        let mut naive = Naive::default();
        let mut secrets = Secrets::fresh(secret(naive.issue(|_, _| false)));
        for step in steps {
            let at = |index: usize| *naive.serving.iter().nth(index % naive.serving.len()).unwrap();
            match step {
                Step::Activate => secrets = Secrets::fresh(secret(naive.issue(|_, _| false))),
                Step::Retry => {
                    let kept = [naive.newest(true), naive.newest(false)];
                    secrets.retry_activation(secret(naive.issue(|_, number| kept.contains(&Some(number)))));
                }
                Step::Use(index) => {
                    let used = at(index);
                    let before = (naive.serving.clone(), naive.proven.clone());
                    naive.used(used);
                    prop_assert_eq!(secrets.used(&secret(used)), before != (naive.serving.clone(), naive.proven.clone()));
                }
                Step::Rekey(index) => {
                    let used = at(index);
                    naive.used(used);
                    secrets.used(&secret(used));
                    secrets.rekey(&secret(used), secret(naive.issue(|_, number| number == used)));
                }
            }
            let serving: Vec<_> = naive.serving.iter().rev().map(|number| secret(*number)).collect();
            prop_assert_eq!(secrets.iter().cloned().collect::<Vec<_>>(), serving);
            prop_assert!(secrets.iter().count() <= 3);
            prop_assert!(!secrets.used(&secret(u64::MAX)), "a secret that never was changes nothing");
            secrets = Secrets::from_bytes(&secrets.to_bytes()).unwrap();
        }
    }
}

/// An agent sends one request at a time and believes the answer to its latest only. Requests and answers are lost
/// however long, and its activation arrives once more at some later time.
#[test]
fn lost_answers_strand_nobody() {
    let mut rekeyed = 0;
    for seed in 0..2_000 {
        let random = SeededRandom::new(seed);
        let chance = |of: u8| ambient::array::<1>(&random)[0].is_multiple_of(of);
        let mut issued = 0;
        let mut issue = || {
            issued += 1;
            secret(issued)
        };
        let mut secrets = Secrets::default();
        let mut held = None;
        let mut first = true;
        while held.is_none() {
            if chance(3) {
                continue; // the request was lost
            }
            let new = issue();
            if std::mem::take(&mut first) {
                secrets = Secrets::fresh(new.clone());
            } else {
                secrets.retry_activation(new.clone());
            }
            held = (!chance(2)).then_some(new);
        }
        let mut duplicate = Some(ambient::array::<1>(&random)[0] % 30);
        for step in 0..30 {
            if duplicate.take_if(|at| *at == step).is_some() {
                secrets.retry_activation(issue());
            }
            let own = held.clone().unwrap();
            assert!(secrets.iter().any(|serving| *serving == own), "seed {seed}: the agent's secret serves");
            if chance(3) {
                continue; // the request was lost
            }
            secrets.used(&own);
            if chance(2) {
                let new = issue();
                secrets.rekey(&own, new.clone());
                if !chance(2) {
                    held = Some(new);
                    rekeyed += 1;
                }
            }
        }
    }
    assert!(rekeyed > 1_000);
}
