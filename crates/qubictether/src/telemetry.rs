//! Logs: JSON lines on standard error.

use tracing_subscriber::EnvFilter;

use crate::error::Error;

/// Starts logging at `level`: a level, or a filter of tracing's. The default is `info`.
pub(crate) fn start(level: Option<&str>) -> Result<(), Error> {
    let level = level.unwrap_or("info");
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Error::Usage(format!("QT_LOG: is {level:?}, which is neither a level nor a filter: {error}"))
    })?;
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
