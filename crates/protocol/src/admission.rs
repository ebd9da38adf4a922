//! What has to hold of a proven request before it is judged, and what being judged changes of its install. Pure.
//!
//! Whoever stores the change does so only over what it was made from: then check and write are one step, across any
//! number of processes.

use crate::{
    Counter, Nonce, Secret,
    rate::{INSTALL_QUOTA, Rate},
    replay::{Arrival, ReplayState},
    secrets::Secrets,
};

/// Who a proof shows to be calling.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The request's counter.
    pub counter: Counter,
    /// The request's nonce.
    pub nonce: Nonce,
    /// Which of the install's secrets served.
    pub secret: Secret,
}

/// Why a proven request isn't judged. Nothing is stored of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// Its nonce was accepted before.
    NonceReplayed,
    /// A later attempt was accepted before it.
    CounterStale,
    /// The install is judged too often.
    TooOften {
        /// After how many milliseconds it may be.
        wait_ms: i64,
    },
}

/// A proven request that is neither a replay nor too early: it may be judged.
#[derive(Clone, Debug)]
pub struct Admitted {
    proven: Proven,
    arrival: Arrival,
    rate: Rate,
}

/// What is remembered of an install's requests.
#[derive(Debug)]
pub struct Memory<'a> {
    /// What its proofs are checked against; none: it has none.
    pub secrets: Option<&'a mut Secrets>,
    /// Its counters and nonces.
    pub replay: &'a mut ReplayState,
    /// How often it is judged.
    pub rate: &'a mut Rate,
    /// Since when a second holder of the secret is suspected.
    pub clone_suspected_at: &'a mut Option<i64>,
}

impl Proven {
    /// Looks at what the counter, the nonce and the rate say at `now_ms` (Unix milliseconds), in the protocol's order.
    ///
    /// # Errors
    /// When it was here before, comes too late, or too soon after others.
    pub fn admit(self, replay: &ReplayState, mut rate: Rate, now_ms: i64) -> Result<Admitted, NotAdmitted> {
        let arrival = replay.classify(self.counter, &self.nonce, now_ms.div_euclid(1000));
        match arrival {
            Arrival::NonceReplayed => return Err(NotAdmitted::NonceReplayed),
            Arrival::Stale => return Err(NotAdmitted::CounterStale),
            Arrival::Fresh | Arrival::Fork => {}
        }
        rate.admit(INSTALL_QUOTA, now_ms).map_err(|wait_ms| NotAdmitted::TooOften { wait_ms })?;
        Ok(Admitted { proven: self, arrival, rate })
    }
}

impl Admitted {
    /// Whether it comes from a second holder of the secret.
    pub fn is_fork(&self) -> bool {
        self.arrival == Arrival::Fork
    }

    /// The request's counter.
    pub const fn counter(&self) -> Counter {
        self.proven.counter
    }

    /// The request's nonce.
    pub const fn nonce(&self) -> &Nonce {
        &self.proven.nonce
    }

    /// Which of the install's secrets served.
    pub const fn secret(&self) -> &Secret {
        &self.proven.secret
    }

    /// Takes the request, at `now` (Unix seconds), into the memory that it was admitted by: from here on it is judged.
    /// Says whether that changed the secrets.
    pub fn enter(&self, memory: Memory<'_>, now: i64) -> bool {
        let Proven { counter, nonce, secret } = &self.proven;
        *memory.rate = self.rate;
        if self.is_fork() {
            memory.replay.note_fork(nonce, now);
            memory.clone_suspected_at.get_or_insert(now);
        } else {
            memory.replay.accept(*counter, nonce, now);
        }
        memory.secrets.is_some_and(|secrets| secrets.used(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_123;

    #[derive(Default)]
    struct Install {
        secrets: Secrets,
        replay: ReplayState,
        rate: Rate,
        clone_suspected_at: Option<i64>,
    }

    impl Install {
        fn send(&mut self, counter: u64, nonce: u8, now: i64) -> Result<(bool, bool), NotAdmitted> {
            let proven = Proven {
                counter: Counter::new(counter).unwrap(),
                nonce: Nonce::from_bytes(&[nonce; 16]).unwrap(),
                secret: Secret::from_bytes([1; 32]),
            };
            let admitted = proven.admit(&self.replay, self.rate, now * 1000 + 999)?;
            let memory = Memory {
                secrets: Some(&mut self.secrets),
                replay: &mut self.replay,
                rate: &mut self.rate,
                clone_suspected_at: &mut self.clone_suspected_at,
            };
            let changed = admitted.enter(memory, now);
            Ok((admitted.is_fork(), changed))
        }
    }

    fn install() -> Install {
        Install { secrets: Secrets::fresh(Secret::from_bytes([1; 32])), ..Install::default() }
    }

    #[test]
    fn what_is_judged_is_remembered_and_proves_its_secret() {
        let mut install = install();
        assert_eq!(install.send(5, 1, NOW), Ok((false, true)));
        assert_eq!(install.send(6, 2, NOW + 1), Ok((false, false)), "the secret was proven before");
        assert_eq!(install.replay.high(), 6);
        assert_eq!(install.rate.tat, NOW * 1000 + 999 + 10_000);
        assert_eq!(install.clone_suspected_at, None);
    }

    #[test]
    fn a_fork_is_judged_and_suspected_since_the_first() {
        let mut install = install();
        install.send(5, 1, NOW).unwrap();
        assert_eq!(install.send(5, 2, NOW + 1), Ok((true, false)));
        assert_eq!(install.send(5, 3, NOW + 2), Ok((true, false)));
        assert_eq!((install.clone_suspected_at, install.replay.high()), (Some(NOW + 1), 5));
        assert_eq!(install.send(6, 3, NOW + 2), Err(NotAdmitted::NonceReplayed), "its nonce was stored");
        assert_eq!(install.send(6, 4, NOW + 3), Ok((false, false)));
        assert_eq!(install.clone_suspected_at, Some(NOW + 1), "nothing clears it here");
    }

    #[test]
    fn what_is_not_judged_takes_nothing_and_replay_comes_before_the_rate() {
        let mut install = install();
        for number in 1..=10 {
            install.send(10 * u64::from(number), number, NOW).unwrap();
        }
        let rate = install.rate;
        assert_eq!(install.send(101, 11, NOW), Err(NotAdmitted::TooOften { wait_ms: 5000 }));
        assert_eq!(install.send(101, 10, NOW), Err(NotAdmitted::NonceReplayed));
        assert_eq!(install.send(99, 11, NOW), Err(NotAdmitted::CounterStale));
        assert_eq!(install.send(100, 11, NOW), Err(NotAdmitted::TooOften { wait_ms: 5000 }), "a fork too");
        assert_eq!((install.rate, install.clone_suspected_at), (rate, None));
        assert_eq!(install.send(101, 11, NOW + 5), Ok((false, false)));
    }
}
