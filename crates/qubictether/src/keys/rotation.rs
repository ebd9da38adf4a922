//! `keys rotate --data|--lookup`: everything is brought under a new key, with progress shown.

use std::time::Duration;

use keyring::Purpose;
use protocol::admin::Time;
use serde_json::json;
use store::{Actor, Brought, Progress, Store};

use crate::error::Error;
use crate::output;

/// After how many rows people are told how far it is.
const TOLD_EVERY: u64 = 10_000;

pub(crate) async fn run(
    store: &Store,
    purpose: Purpose,
    actor: &Actor,
    waits: bool,
    json: bool,
) -> Result<(), Error> {
    let rotation = store.begin_rotation(purpose, actor).await?;
    let key = rotation.to;
    output::progress(&if rotation.is_new {
        format!("{key} is active from now on")
    } else {
        format!("going on: {key} is active, and something may be left under the one before")
    });
    let mut renewed = 0;
    loop {
        let (mut told, mut last) = (0, Progress::default());
        let watch = |progress: Progress| {
            last = progress;
            if progress.seen / TOLD_EVERY > told {
                told = progress.seen / TOLD_EVERY;
                output::progress(&format!(
                    "looked at {} rows, brought {} values under {key}",
                    progress.seen,
                    renewed + progress.renewed
                ));
            }
        };
        let brought = store.bring_under(rotation, watch).await?;
        renewed += last.renewed;
        match brought {
            Brought::All => return done(renewed, key, None, json),
            Brought::Later(at) if !waits => return done(renewed, key, Some(Time(at)), json),
            Brought::Later(at) => {
                let seconds = at.saturating_sub(store.clock().unix_seconds()).max(0).unsigned_abs();
                output::progress(&format!("waiting for {seconds} s, until every process has heard of {key}"));
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        }
    }
}

fn done(renewed: u64, key: keyring::Context, later: Option<Time>, json: bool) -> Result<(), Error> {
    if json {
        return output::json(&json!({
            "purpose": key.purpose.as_str(), "version": key.version, "renewed": renewed,
            "is_over": later.is_none(), "goes_on_at": later,
        }));
    }
    let renewed = format!("brought {renewed} values under {key}");
    output::line(&match later {
        None => format!("{renewed}: nothing is left under the one before, which has retired"),
        Some(at) => format!("{renewed}; run this again after {at}, so that the one before can retire"),
    })
}
