//! What a process says of the incident hold: a metric, and a line in its log when it is set, changed or over.
//!
//! No judgement asks this: each reads the hold with its install.

use protocol::admin::Time;
use store::HoldRow;

use crate::Edge;

/// Looks whether a hold is on, however it was set.
///
/// # Errors
/// When the database isn't available.
pub async fn notice(edge: &Edge) -> Result<(), store::Error> {
    let hold = edge.store.find_hold().await?;
    if !edge.metrics.held(hold.as_ref().map(|hold| hold.until)) {
        return Ok(());
    }
    let Some(HoldRow { until, reason, set_by, .. }) = hold else {
        tracing::warn!("the incident hold is over: breaches are judged as ever");
        return Ok(());
    };
    tracing::warn!(until = %Time(until), reason, set_by, "an incident hold is on: no breach takes an install below grace");
    Ok(())
}
