//! What every function shares at the HTTP edge.
//!
//! A function is a router over an [`Edge`]; [`envelope::wrap`] puts around it what every answer has: a request id, the
//! bounds on size, problem documents, measurements.

pub mod activation;
pub mod address;
pub mod answer;
pub mod config;
pub mod contact;
pub mod envelope;
pub mod health;
pub mod hold;
pub mod judge;
pub mod keys;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod lease;
mod machine;
pub mod open;
pub mod proof;
pub mod refusal;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

use std::sync::Arc;

use store::Store;

pub use config::Settings;
pub use refusal::Refusal;

/// What a function's handlers work with.
pub struct Edge {
    /// The database, its clock and its randomness.
    pub store: Store,
    /// What sign and what verify now.
    pub keys: keys::Keys,
    /// The operator's settings.
    pub settings: Settings,
    /// What KMS said when it was asked last, where it wraps the keys.
    pub kms: health::Kms,
    /// Measurements.
    pub metrics: telemetry::Metrics,
}

/// The state of every router.
pub type State = axum::extract::State<Arc<Edge>>;

impl Edge {
    /// An edge over an open store.
    pub fn new(store: Store, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            store,
            keys: keys::Keys::default(),
            settings,
            kms: health::Kms::default(),
            metrics: telemetry::Metrics::default(),
        })
    }

    /// Now, Unix seconds.
    pub fn now(&self) -> i64 {
        self.store.clock().unix_seconds()
    }
}
