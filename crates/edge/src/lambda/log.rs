//! Logs: JSON lines on standard error, which Lambda keeps.

use std::error::Error;

use tracing::Level;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Registry, fmt};

use crate::config::SettingsError;
use crate::telemetry::causes;

/// Starts logging at `level`: a level, or a filter of tracing's. The default is `info`.
///
/// # Errors
/// When it is neither. Then it logs as by default.
pub(super) fn start(level: Option<&str>) -> Result<(), SettingsError> {
    let level = level.filter(|level| !level.is_empty()).unwrap_or("info");
    let (wanted, refused) = match EnvFilter::try_new(level) {
        Ok(filter) => (filter, Ok(())),
        Err(error) => {
            let problem = format!("is {level:?}, which is neither a level nor a filter: {error}");
            (EnvFilter::new("info"), Err(SettingsError { name: "QT_LOG", problem }))
        }
    };
    // The runtime traces whole events: license keys, proofs, everything.
    let harmless = filter_fn(|metadata| {
        *metadata.level() != Level::TRACE || !metadata.target().starts_with("lambda_runtime")
    });
    let lines = fmt::layer().json().with_writer(std::io::stderr).with_filter(wanted.and(harmless));
    tracing::subscriber::set_global_default(Registry::default().with(lines))
        .expect("nothing has logged before");
    refused
}

/// A line that says why the function ends, with all causes.
pub(super) fn complain(error: &dyn Error) {
    tracing::error!("{}", causes(error));
}
