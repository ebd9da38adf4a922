//! `qubictether-bench swarm`

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    future::pending,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use clap::Args;
use jose_jwt::PublicKey;
use protocol::{LicenseKey, ProductCode, ambient::OsRandom};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    activation::{Activated, Activation},
    answer::Verifier,
    clock::ServerClock,
    command::{print, progress},
    error::Error,
    install::QUOTA,
    swarm::{Pace, Run, Swarm},
    tally::Percentiles,
    target::{Failure, Target},
};

/// "Until a signal" is this long: longer than anything runs.
const FOREVER: Duration = Duration::from_hours(365 * 24);

#[derive(Debug, Args)]
pub(crate) struct SwarmArgs {
    /// The server's base URL.
    #[arg(long)]
    server: String,
    /// The product that the licenses are of.
    #[arg(long)]
    product: String,
    /// A file of license keys, one a line; the installs are spread over them.
    #[arg(long, value_name = "FILE")]
    license_keys: PathBuf,
    /// How many agents. The server judges each once in 5 s on average, 10 times in a burst.
    #[arg(long, default_value = "1000")]
    installs: NonZeroUsize,
    /// How many connections; in a closed loop that many heartbeats are under way at once.
    #[arg(long, default_value = "64")]
    concurrency: NonZeroUsize,
    /// Heartbeats a second, sent whatever comes back (an open loop); without it the loop is closed.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// For how long heartbeats are sent.
    #[arg(long, default_value = "10", conflicts_with = "until_signal")]
    seconds: u32,
    /// Send heartbeats until SIGTERM or SIGINT.
    #[arg(long)]
    until_signal: bool,
    /// Write each install's highest acknowledged counter to this file at the end: `install_id counter`, a line each.
    #[arg(long, value_name = "FILE")]
    acknowledged: Option<PathBuf>,
    /// Verify every token as an agent does, the keyset being under this root key (base64url); without it a sample of
    /// the tokens is compared with its requests.
    // One in 64 keys begins with a hyphen.
    #[arg(long, value_name = "ROOT_KEY", allow_hyphen_values = true)]
    verify: Option<PublicKey>,
    /// The issuer that tokens have to name, if it isn't the server's base URL.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
}

impl SwarmArgs {
    pub(crate) async fn run(self) -> Result<(), Error> {
        self.check_installs()?;
        let product: ProductCode = self.product.parse().map_err(|error| Error::Usage(format!("{error}")))?;
        let target = Rc::new(Target::parse(&self.server)?);
        let (clock, random) = (Rc::new(ServerClock::new()), Rc::new(OsRandom));
        let verifier = match &self.verify {
            None => None,
            Some(root) => Some(Verifier::load(&target, root, self.issuer(), product.clone()).await?),
        };
        let keys = read_keys(&self.license_keys)?;
        let (target_too, clock_too) = (target.clone(), clock.clone());
        let installs = self.installs.get();
        let activation = Activation {
            target: target_too,
            clock: clock_too,
            random: random.clone(),
            product,
            keys,
            installs,
        };
        let Activated { installs, elapsed, latencies } = activation.run(self.concurrency.get()).await?;
        let activations = Activations::new(installs.len(), elapsed, latencies.percentiles());
        progress(&format!("activated {} installs in {:.1} s", activations.installs, activations.seconds));

        let swarm = Swarm::new(target, clock, random, verifier, installs);
        let pace = self.rate.map_or(Pace::Closed, Pace::Open);
        let run = swarm.run(pace, self.concurrency.get(), self.duration(), self.stop()?).await;
        if let Some(path) = &self.acknowledged {
            write_acknowledged(path, &swarm)?;
        }
        print(&Report { activations, heartbeats: Heartbeats::new(&run) })?;
        match run.tally.wrong_answers {
            0 => Ok(()),
            wrong => Err(Error::WrongAnswers(wrong)),
        }
    }

    /// Refuses what the server would answer with 429.
    fn check_installs(&self) -> Result<(), Error> {
        let (installs, workers) = (self.installs.get(), self.concurrency.get());
        if installs < workers {
            let message = format!(
                "{workers} connections need as many installs: an install has one heartbeat under way"
            );
            return Err(Error::Usage(message));
        }
        let Some(rate) = self.rate else { return Ok(()) };
        if !(rate.is_finite() && rate > 0.0) {
            return Err(Error::Usage("a rate is a positive number".to_owned()));
        }
        let (every, burst) =
            (Duration::from_millis(QUOTA.every_ms.unsigned_abs()).as_secs_f64(), QUOTA.burst);
        #[expect(clippy::cast_precision_loss, reason = "nobody simulates 2^52 installs")]
        let (installs, burst) = (installs as f64, burst as f64);
        let seconds = if self.until_signal { f64::INFINITY } else { f64::from(self.seconds) };
        // What each install may be judged, a second.
        let each = burst / seconds + 1.0 / every;
        let needed = (rate / each).ceil();
        if needed > installs {
            return Err(Error::Usage(format!(
                "the server judges an install once in {every} s, and {burst} times in a burst: {rate} heartbeats a \
                 second for so long need {needed} installs"
            )));
        }
        Ok(())
    }

    fn issuer(&self) -> String {
        self.issuer.as_ref().unwrap_or(&self.server).trim_end_matches('/').to_owned()
    }

    fn duration(&self) -> Duration {
        if self.until_signal { FOREVER } else { Duration::from_secs(self.seconds.into()) }
    }

    /// Ends with the signal that is waited for.
    fn stop(&self) -> Result<impl Future<Output = ()> + use<>, Error> {
        let signals = if self.until_signal {
            Some((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
        } else {
            None
        };
        Ok(async {
            match signals {
                None => pending().await,
                Some((mut terminate, mut interrupt)) => {
                    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                }
            }
        })
    }
}

fn read_keys(path: &Path) -> Result<Vec<LicenseKey>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let keys: Result<Vec<_>, _> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(LicenseKey::parse).collect();
    match keys {
        Ok(keys) if !keys.is_empty() => Ok(keys),
        _ => Err(Error::Usage(format!("{} is not a file of license keys, one a line", path.display()))),
    }
}

fn write_acknowledged(path: &Path, swarm: &Swarm) -> Result<(), Error> {
    let mut lines = String::new();
    for (install, counter) in swarm.acknowledged() {
        writeln!(lines, "{install} {counter}").expect("writing to a string can't fail");
    }
    fs::write(path, lines).map_err(|source| Error::File { path: path.to_owned(), source })
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    activations: Activations,
    heartbeats: Heartbeats,
}

/// How the swarm was activated.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Activations {
    pub(crate) installs: usize,
    pub(crate) seconds: f64,
    pub(crate) latency_us: Option<Percentiles>,
}

impl Activations {
    pub(crate) fn new(installs: usize, elapsed: Duration, latency_us: Option<Percentiles>) -> Self {
        Self { installs, seconds: elapsed.as_secs_f64(), latency_us }
    }
}

/// How its heartbeats were answered.
#[derive(Debug, Serialize)]
pub(crate) struct Heartbeats {
    pub(crate) seconds: f64,
    pub(crate) attempts: u64,
    pub(crate) accepted: u64,
    pub(crate) accepted_per_second: f64,
    pub(crate) latency_us: Option<Percentiles>,
    pub(crate) refused_latency_us: Option<Percentiles>,
    pub(crate) by_status: BTreeMap<u16, u64>,
    pub(crate) by_code: BTreeMap<String, u64>,
    pub(crate) retry_after: BTreeMap<u64, u64>,
    pub(crate) failures: BTreeMap<Failure, u64>,
    /// Open loop: due, but for want of an idle connection not sent.
    pub(crate) unsent: u64,
    /// Above 0 the installs were too few for the load, and the figures are of the swarm, not of the server.
    pub(crate) waits_for_quota: u64,
    pub(crate) tokens_compared: u64,
    pub(crate) tokens_verified: u64,
    pub(crate) wrong_answers: u64,
}

impl Heartbeats {
    pub(crate) fn new(run: &Run) -> Self {
        let Run { tally, elapsed, unsent } = run;
        let seconds = elapsed.as_secs_f64();
        let accepted = tally.accepted.count();
        #[expect(clippy::cast_precision_loss, reason = "no run has 2^52 heartbeats")]
        let accepted_per_second = if accepted == 0 { 0.0 } else { accepted as f64 / seconds };
        Self {
            seconds,
            attempts: tally.attempts,
            accepted,
            accepted_per_second,
            latency_us: tally.accepted.percentiles(),
            refused_latency_us: tally.refused.percentiles(),
            by_status: tally.by_status.clone(),
            by_code: tally.by_code.clone(),
            retry_after: tally.retry_after.clone(),
            failures: tally.failures.clone(),
            unsent: *unsent,
            waits_for_quota: tally.waits_for_quota,
            tokens_compared: tally.tokens_compared,
            tokens_verified: tally.tokens_verified,
            wrong_answers: tally.wrong_answers,
        }
    }
}
