//! Dry runs of a version of every profile, over all its installs.

use std::time::Instant;

use serde::Serialize;

use super::pages::Caller;
use crate::error::Error;

/// What is tried: everybody whose clock is off at all is warned.
const KNOBS: &str = r#"{"knobs":{"max_clock_skew":1}}"#;

/// A profile's.
#[derive(Debug, Serialize)]
pub(crate) struct DryRuns {
    installs: i64,
    changed: i64,
    parts: usize,
    seconds: f64,
    longest_part_seconds: f64,
}

pub(crate) async fn measure(caller: &mut Caller<'_>) -> Result<Vec<DryRuns>, Error> {
    let mut runs = Vec::new();
    let (profiles, _) = caller.call("/profiles").await?;
    for profile in profiles["items"].as_array().into_iter().flatten() {
        let path = format!("/profiles/{}/versions", profile["id"].as_str().unwrap_or_default());
        let drafted = caller.post(&path, KNOBS).await?;
        let path = format!("{path}/{}/dry-run", drafted["number"]);
        let mut run = DryRuns { installs: 0, changed: 0, parts: 0, seconds: 0.0, longest_part_seconds: 0.0 };
        let mut cursor = String::new();
        loop {
            let begin = Instant::now();
            let part = caller.post(&format!("{path}{cursor}"), "{}").await?;
            let seconds = begin.elapsed().as_secs_f64();
            let count = |member: &str| part[member].as_i64().unwrap_or_default();
            run.installs += count("installs");
            run.changed += count("changed");
            run.parts += 1;
            run.seconds += seconds;
            run.longest_part_seconds = run.longest_part_seconds.max(seconds);
            let Some(next) = part["next_cursor"].as_str() else { break };
            cursor = format!("?cursor={next}");
        }
        runs.push(run);
    }
    Ok(runs)
}
