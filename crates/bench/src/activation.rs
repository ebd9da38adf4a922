//! Activating a swarm.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use http::StatusCode;
use protocol::{
    LicenseKey, ProductCode, ambient::Random, jitter, problem::Problem, response::ActivateResponse,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    clock::ServerClock,
    error::Error,
    install::{Install, Machine},
    tally::Latencies,
    target::{Answer, Failure, Session, Target},
};

/// For how long a machine that isn't taken is tried again.
const PATIENCE: Duration = Duration::from_mins(2);

/// The longest rest before it is tried again.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// Machines that are to become installs.
pub(crate) struct Activation {
    pub(crate) target: Rc<Target>,
    pub(crate) clock: Rc<ServerClock>,
    pub(crate) random: Rc<dyn Random>,
    pub(crate) product: ProductCode,
    /// The machines are spread evenly over these.
    pub(crate) keys: Vec<LicenseKey>,
    /// How many machines.
    pub(crate) installs: usize,
}

/// Installs, and how long they took to become that.
#[derive(Debug)]
pub(crate) struct Activated {
    pub(crate) installs: Vec<Install>,
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Latencies,
}

impl Activation {
    /// Activates them all, over so many connections.
    pub(crate) async fn run(self, concurrency: usize) -> Result<Activated, Error> {
        let begin = Instant::now();
        let under_way = Rc::new(UnderWay {
            installs: RefCell::new(Vec::with_capacity(self.installs)),
            begun: Cell::new(0),
            latencies: RefCell::new(Latencies::new()),
            activation: self,
        });
        let mut workers = JoinSet::new();
        for _ in 0..concurrency {
            workers.spawn_local(under_way.clone().work());
        }
        while let Some(worker) = workers.join_next().await {
            // A worker that panicked has said why.
            worker.map_err(|_| Error::Activation("a worker panicked".to_owned()))??;
        }
        let done = Rc::into_inner(under_way).expect("the workers, which had it too, have ended");
        Ok(Activated {
            installs: done.installs.into_inner(),
            elapsed: begin.elapsed(),
            latencies: done.latencies.into_inner(),
        })
    }
}

struct UnderWay {
    activation: Activation,
    begun: Cell<usize>,
    installs: RefCell<Vec<Install>>,
    latencies: RefCell<Latencies>,
}

impl UnderWay {
    async fn work(self: Rc<Self>) -> Result<(), Error> {
        let mut session = Session::new(&self.activation.target);
        while self.begun.get() < self.activation.installs {
            let index = self.begun.replace(self.begun.get() + 1);
            let install = self.activate(&mut session, index).await?;
            self.installs.borrow_mut().push(install);
        }
        Ok(())
    }

    async fn activate(&self, session: &mut Session, index: usize) -> Result<Install, Error> {
        let Activation { target, clock, random, product, keys, .. } = &self.activation;
        let machine = Machine::random(product, &**random);
        let request = machine.activation(&keys[index % keys.len()], &**random);
        let body = serde_json::to_vec(&request).expect("a body is a struct of plain values");
        let (body, begin) = (bytes::Bytes::from(body), Instant::now());
        loop {
            let start = Instant::now();
            let answer = session.post(target.path("/v1/activate"), None, body.clone()).await;
            if let Ok(Answer { status: StatusCode::CREATED, body, .. }) = &answer {
                self.latencies.borrow_mut().record(start.elapsed());
                let answer: ActivateResponse = serde_json::from_slice(body)
                    .map_err(|error| Error::Activation(format!("its answer can't be read: {error}")))?;
                clock.set(answer.server_time);
                return Ok(machine.activated(answer));
            }
            let rest = rest_after(&answer).filter(|_| begin.elapsed() < PATIENCE);
            let Some(rest) = rest else { return Err(Error::Activation(explain(&answer))) };
            let jitter = jitter::full(&**random, u64::try_from(rest.as_millis()).unwrap_or(u64::MAX));
            sleep(rest / 2 + Duration::from_millis(jitter / 2)).await;
        }
    }
}

/// For how long to rest before trying again; nothing where that is of no use.
fn rest_after(answer: &Result<Answer, Failure>) -> Option<Duration> {
    let short = Duration::from_millis(200);
    match answer {
        Err(_) => Some(short),
        Ok(Answer {
            status: StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE,
            retry_after,
            ..
        }) => Some(retry_after.unwrap_or(short).min(LONGEST_REST)),
        Ok(_) => None,
    }
}

fn explain(answer: &Result<Answer, Failure>) -> String {
    match answer {
        Err(failure) => format!("no answer: {failure:?}"),
        Ok(Answer { status, body, .. }) => match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => format!("{status}, {}: {}", problem.code, problem.detail),
            Err(_) => format!("{status}"),
        },
    }
}
