//! `hold show|set|end`.

use admin::hold;
use clap::{Args, Subcommand};
use protocol::admin::{Hold, NewHold, Time};
use protocol::ambient::{Clock, SystemClock};
use serde_json::json;
use store::Store;

use crate::error::Error;
use crate::{account, license, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The hold that is on, if any
    Show,
    /// Set a hold, in the place of the one that is on: installs learn of it at their next beats, and it ends by itself
    #[command(after_help = EXAMPLES)]
    Set(Set),
    /// End the hold that is on
    End,
}

const EXAMPLES: &str = "\
Examples:
  qubictether hold set --for 24h --reason \"the site's line is down\"
  qubictether hold set --until 2027-01-31T06:00:00Z --reason \"the renewals are late by our fault\"";

#[derive(Args)]
pub(crate) struct Set {
    #[command(flatten)]
    end: End,
    /// Why, 1 to 500 characters
    #[arg(long)]
    reason: String,
}

/// When it ends by itself: 90 days from now at the latest.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct End {
    /// Its end, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = license::instant)]
    until: Option<i64>,
    /// How long it lasts from now: a number of seconds, or of `m`inutes, `h`ours, `d`ays or `w`eeks
    #[arg(long = "for", value_name = "DURATION", value_parser = seconds)]
    lasting: Option<i64>,
}

fn seconds(text: &str) -> Result<i64, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3_600),
        Some((at, 'd')) => (&text[..at], 86_400),
        Some((at, 'w')) => (&text[..at], 604_800),
        _ => (text, 1),
    };
    let number: Option<u32> = number.parse().ok();
    let seconds = number.and_then(|number| i64::from(number).checked_mul(unit));
    seconds.ok_or_else(|| "a duration has to be like 90m, 24h or 3d".to_owned())
}

pub(crate) async fn run(store: &Store, command: Command, json: bool) -> Result<(), Error> {
    let operator = account::operator(store);
    let hold = match command {
        Command::Show => hold::show(store).await?,
        Command::Set(Set { end, reason }) => {
            let from_now = end.lasting.map(|lasting| SystemClock.unix_seconds().saturating_add(lasting));
            // One of them was given.
            let Some(until) = end.until.or(from_now) else { return Ok(()) };
            let body = json!({ "until": Time(until), "reason": reason }).to_string();
            hold::set(&operator, license::read(&body, NewHold::read)?).await?
        }
        Command::End => {
            hold::end(&operator).await?;
            hold::show(store).await?
        }
    };
    if json { output::json(&hold) } else { describe(&hold) }
}

fn describe(hold: &Hold) -> Result<(), Error> {
    let Hold { until: Some(until), since: Some(since), reason, set_by } = hold else {
        return output::line("no hold is on");
    };
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    output::line(&format!("a hold is on until {until}: no breach takes any install below grace"))?;
    output::line(&format!("set {since} by {}: {}", said(set_by), said(reason)))
}
