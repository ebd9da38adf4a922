//! What a process measures of itself, for Prometheus. Labels are routes, states and codes: never an id, a key or a name.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use policy::Decision;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use protocol::problem::Code;

/// What an error says, and what its causes say.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing to a string can't fail.
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}

/// What is logged of an error at run time. Of keys that can't be had everything: it says what to do. The causes of others
/// stay out, since a database quotes the rows that it refuses.
pub(crate) fn told(error: &store::Error) -> String {
    match error {
        store::Error::Keyring(_) => causes(error),
        _ => error.to_string(),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    state: &'static str,
    rule: u32,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Leased {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempted {
    outcome: &'static str,
}

/// The measurements.
pub struct Metrics {
    registry: Registry,
    answers: Family<Answer, Counter>,
    seconds: Family<Route, Histogram>,
    refusals: Family<Refused, Counter>,
    decisions: Family<Decided, Counter>,
    batches: Histogram,
    leases: Family<Leased, Counter>,
    webhooks: Family<Attempted, Counter>,
    hold: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let answers = Family::<Answer, Counter>::default();
        let seconds = Family::<Route, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_5, 2.0, 15))
        });
        let refusals = Family::<Refused, Counter>::default();
        let decisions = Family::<Decided, Counter>::default();
        let batches = Histogram::new(exponential_buckets(1.0, 2.0, 10));
        let leases = Family::<Leased, Counter>::default();
        let webhooks = Family::<Attempted, Counter>::default();
        let mut registry = Registry::with_prefix("qubictether");
        registry.register("answers", "Requests answered, by route and status", answers.clone());
        registry.register("request_seconds", "Time to answer, by route", seconds.clone());
        registry.register("refusals", "Requests refused, by the problem's code", refusals.clone());
        registry.register("decisions", "Decisions of the policy engine", decisions.clone());
        registry.register(
            "heartbeat_batch_size",
            "Heartbeats judged and committed together",
            batches.clone(),
        );
        registry.register("leases", "Leases granted, returned, or refused for a reason", leases.clone());
        let hold = Gauge::default();
        registry.register(
            "hold_until_seconds",
            "When the incident hold ends, Unix time; 0: none is on",
            hold.clone(),
        );
        let about = "Attempts to tell webhooks: delivered, or what went wrong";
        registry.register("webhook_attempts", about, webhooks.clone());
        Self { registry, answers, seconds, refusals, decisions, batches, leases, webhooks, hold }
    }
}

impl Metrics {
    pub(crate) fn answered(&self, route: &str, status: StatusCode, took: Duration) {
        self.answers.get_or_create(&Answer { route: route.to_owned(), status: status.as_u16() }).inc();
        self.seconds.get_or_create(&Route { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self, code: Code) {
        self.refusals.get_or_create(&Refused { code: code.as_str() }).inc();
    }

    /// A decision was committed.
    pub fn decided(&self, decision: &Decision) {
        let labels = Decided {
            state: decision.state.as_str(),
            rule: u32::from(decision.rule.number()),
            reason: decision.reason.as_str(),
        };
        self.decisions.get_or_create(&labels).inc();
    }

    /// A lease was `granted` or `returned`, or refused for this reason.
    pub fn leased(&self, outcome: &'static str) {
        self.leases.get_or_create(&Leased { outcome }).inc();
    }

    /// Counts an attempt to tell a webhook.
    pub fn attempted(&self, outcome: &'static str) {
        self.webhooks.get_or_create(&Attempted { outcome }).inc();
    }

    /// An incident hold is on until then, or none is. Says whether that is news.
    pub(crate) fn held(&self, until: Option<i64>) -> bool {
        let until = until.unwrap_or_default();
        self.hold.set(until) != until
    }

    /// So many heartbeats went to the database together.
    pub fn batched(&self, size: usize) {
        self.batches.observe(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
    }

    /// Everything measured, in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
