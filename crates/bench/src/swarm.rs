//! Many simulated agents, and the load that they make.
//!
//! Everything runs on one thread and little is done twice, so that the server, which may share the processors, is
//! measured and not the swarm. A worker is a task with a connection of its own, and takes whichever install has
//! rested longest.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

use http::{StatusCode, Uri};
use protocol::{ambient::Random, jitter};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use crate::{
    answer::{Body, Verifier, repeats},
    clock::ServerClock,
    install::{Beat, Install},
    tally::Tally,
    target::{Answer, Session, Target},
};

/// Of so many tokens one is compared with its request.
const COMPARE_EVERY: u64 = 32;

/// How long a worker rests, at most, after nobody answered.
const REST_MS: u64 = 100;

/// When heartbeats are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// The next one when the last one was answered.
    Closed,
    /// So many a second, whatever comes back; latency counts from when one should have been sent.
    Open(f64),
}

/// Activated installs, and the server that they call.
pub(crate) struct Swarm {
    target: Rc<Target>,
    clock: Rc<ServerClock>,
    random: Rc<dyn Random>,
    verifier: Option<Verifier>,
    installs: Vec<RefCell<Install>>,
    /// The installs that no worker has, the longest rested first.
    resting: RefCell<VecDeque<usize>>,
}

/// A measurement.
#[derive(Debug)]
pub(crate) struct Run {
    /// What came of the requests.
    pub(crate) tally: Tally,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Heartbeats that were due, but for want of an idle connection were not sent.
    pub(crate) unsent: u64,
}

impl Swarm {
    pub(crate) fn new(
        target: Rc<Target>,
        clock: Rc<ServerClock>,
        random: Rc<dyn Random>,
        verifier: Option<Verifier>,
        installs: Vec<Install>,
    ) -> Rc<Self> {
        let resting = RefCell::new((0..installs.len()).collect());
        let installs = installs.into_iter().map(RefCell::new).collect();
        Rc::new(Self { target, clock, random, verifier, installs, resting })
    }

    /// The installs and the highest counter of each that was answered with a decision.
    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = (protocol::InstallId, u64)> {
        self.installs.iter().map(RefCell::borrow).map(|install| (install.id(), install.acknowledged()))
    }

    /// Forgets that anybody has beaten: the server was made to, too.
    pub(crate) fn rest(&self) {
        self.installs.iter().for_each(|install| install.borrow_mut().rest());
    }

    /// Beats for so long, if it isn't stopped before, over so many connections.
    pub(crate) async fn run(
        self: &Rc<Self>,
        pace: Pace,
        concurrency: usize,
        duration: Duration,
        stop: impl Future<Output = ()>,
    ) -> Run {
        let mut sessions: Vec<_> = (0..concurrency).map(|_| Session::new(&self.target)).collect();
        for session in &mut sessions {
            // Who can't be reached now is tried again with the first heartbeat, and counted there.
            _ = session.connect().await;
        }
        let begin = Instant::now();
        let round = Rc::new(Round {
            swarm: self.clone(),
            uri: self.target.path("/v1/heartbeat"),
            pace,
            begin,
            end: begin + duration,
            tickets: Cell::new(0),
            last_answer: Cell::new(begin),
            tally: RefCell::new(Tally::new()),
        });
        let mut workers = JoinSet::new();
        for session in sessions {
            workers.spawn_local(round.clone().work(session));
        }
        tokio::select! {
            () = async { while workers.join_next().await.is_some() {} } => {}
            () = stop => workers.shutdown().await,
        }
        let round = Rc::into_inner(round).expect("the workers, which had it too, have ended");
        Run {
            elapsed: round.last_answer.get() - begin,
            unsent: round.unsent(begin.elapsed().min(duration)),
            tally: round.tally.into_inner(),
        }
    }
}

/// A run under way.
struct Round {
    swarm: Rc<Swarm>,
    uri: Uri,
    pace: Pace,
    begin: Instant,
    end: Instant,
    /// How many heartbeats were begun.
    tickets: Cell<u32>,
    last_answer: Cell<Instant>,
    tally: RefCell<Tally>,
}

impl Round {
    async fn work(self: Rc<Self>, mut session: Session) {
        while let Some(index) = self.rested().await {
            let start = self.start().await;
            if let Some(start) = start {
                self.beat(&mut session, index, start).await;
            }
            self.swarm.resting.borrow_mut().push_back(index);
            if start.is_none() {
                break;
            }
        }
    }

    /// The install that has rested longest, as soon as the server admits a heartbeat of it; nothing at the end.
    async fn rested(&self) -> Option<usize> {
        let index =
            self.swarm.resting.borrow_mut().pop_front().expect("there are more installs than workers");
        while Instant::now() < self.end {
            let admitted = self.swarm.installs[index].borrow_mut().admit(&self.swarm.clock);
            let Err(wait_ms) = admitted else { return Some(index) };
            self.tally.borrow_mut().waits_for_quota += 1;
            let allowed = Instant::now() + Duration::from_millis(wait_ms.unsigned_abs());
            sleep_until(allowed.min(self.end).into()).await;
        }
        self.swarm.resting.borrow_mut().push_back(index);
        None
    }

    /// When the next heartbeat starts; returns then. Nothing at the end.
    async fn start(&self) -> Option<Instant> {
        let ticket = self.tickets.get();
        let start = match self.pace {
            Pace::Closed => Instant::now(),
            Pace::Open(rate) => self.begin + Duration::from_secs_f64(f64::from(ticket) / rate),
        };
        if start.max(Instant::now()) >= self.end {
            return None;
        }
        self.tickets.set(ticket + 1);
        sleep_until(start.into()).await;
        Some(start)
    }

    fn unsent(&self, passed: Duration) -> u64 {
        match self.pace {
            Pace::Closed => 0,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rounded down, positive"
            )]
            Pace::Open(rate) => {
                ((passed.as_secs_f64() * rate) as u64).saturating_sub(u64::from(self.tickets.get()))
            }
        }
    }

    async fn beat(&self, session: &mut Session, index: usize, start: Instant) {
        let install = &self.swarm.installs[index];
        let beat = install.borrow_mut().beat(&self.swarm.clock, &*self.swarm.random);
        self.tally.borrow_mut().attempts += 1;
        let answer = session.post(self.uri.clone(), Some(beat.proof.clone()), beat.body.clone()).await;
        match answer {
            Ok(answer) => self.answered(&mut install.borrow_mut(), &beat, &answer, start),
            Err(failure) => {
                *self.tally.borrow_mut().failures.entry(failure).or_default() += 1;
                sleep(Duration::from_millis(jitter::full(&*self.swarm.random, REST_MS))).await;
            }
        }
    }

    fn answered(&self, install: &mut Install, beat: &Beat, answer: &Answer, start: Instant) {
        let now = Instant::now();
        self.last_answer.set(now);
        let mut tally = self.tally.borrow_mut();
        *tally.by_status.entry(answer.status.as_u16()).or_default() += 1;
        let body = Body::read(&answer.body);
        if let Some(body) = &body {
            self.swarm.clock.set(body.server_time);
        }
        if answer.status != StatusCode::OK {
            tally.refused.record(now - start);
            let code = body.and_then(|body| body.code).unwrap_or("none");
            return tally.refused_with(code, answer.retry_after);
        }
        tally.accepted.record(now - start);
        install.acknowledge(beat.counter);
        let token = body.and_then(|body| body.token).unwrap_or_default();
        self.look_at(token, install, beat, &mut tally);
    }

    /// Verifies a token, or compares one of many with its request.
    fn look_at(&self, token: &str, install: &Install, beat: &Beat, tally: &mut Tally) {
        let is_right = if let Some(verifier) = &self.swarm.verifier {
            tally.tokens_verified += 1;
            verifier.verifies(token, install.id(), beat, self.swarm.clock.unix_seconds())
        } else if tally.attempts.is_multiple_of(COMPARE_EVERY) {
            tally.tokens_compared += 1;
            repeats(token, beat)
        } else {
            !token.is_empty()
        };
        tally.wrong_answers += u64::from(!is_right);
    }
}
