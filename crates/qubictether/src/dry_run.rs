//! `profile dry-run`.

use admin::dry_run::{MOST, dry_run};
use admin::profile;
use clap::Args;
use protocol::admin::{DryRun as Foretold, DryRunRequest, ForetoldChange, Time, Verdict, parse_time};
use store::Store;

use crate::error::Error;
use crate::output;

#[derive(Args)]
pub(crate) struct DryRun {
    /// The profile's id or its name
    profile: String,
    /// The version, a draft or one that was published before
    #[arg(long = "version", value_name = "N")]
    number: i32,
    /// As if it were published to so many installs in a hundred
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(i32).range(1..=100))]
    percent: Option<i32>,
    /// The instant to judge, RFC 3339, at most 90 days ahead, as if nothing more were heard until then; without it, now
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<Time>,
}

fn instant(text: &str) -> Result<Time, String> {
    parse_time(text).map(Time).ok_or_else(|| "expected a time of RFC 3339".to_owned())
}

pub(crate) async fn run(store: &Store, wanted: &DryRun, json: bool) -> Result<(), Error> {
    let profile = profile::show(store, &wanted.profile).await?;
    let request = DryRunRequest { percent: wanted.percent, at: wanted.at };
    let part = async |after| dry_run(store, profile.id, wanted.number, request, after, MOST).await;
    let (mut foretold, mut next) = part(None).await?;
    while next.is_some() {
        output::progress(&format!("{} installs looked at", foretold.installs));
        let (more, after) = part(next).await?;
        foretold.add(more);
        next = after;
    }
    if json { output::json(&foretold) } else { print(&foretold, &profile.name) }
}

fn print(foretold: &Foretold, name: &str) -> Result<(), Error> {
    let Foretold { number, percent, at, installs, unchanged, same_state, better, worse, .. } = foretold;
    let among = if *percent < 100 { format!(" for {percent} installs in a hundred") } else { String::new() };
    output::line(&format!(
        "version {number} of profile {name}{among}, judged as of {at}; nothing is changed"
    ))?;
    output::line(&format!(
        "{installs} installs: {worse} would be in a worse state, {better} in a better one, {same_state} in the same for \
         another reason; {unchanged} unchanged"
    ))?;
    if !foretold.changes.is_empty() {
        let rows: Vec<_> = foretold.changes.iter().map(row).collect();
        output::table(["INSTALLS", "FROM", "TO", "FOR EXAMPLE"], &rows, "")?;
    }
    if foretold.seats_released > 0 {
        output::line(&format!("{} installs would hold a seat no more", foretold.seats_released))?;
    }
    foretold.notes.iter().try_for_each(|note| output::line(&format!("note: {note}")))
}

fn row(change: &ForetoldChange) -> [String; 4] {
    let example = change.examples.first().map(|install| match &install.name {
        Some(name) => format!("{} ({name})", install.install_id),
        None => install.install_id.to_string(),
    });
    [change.installs.to_string(), said(change.from), said(change.to), example.unwrap_or_default()]
}

/// `warned by rule 13, agent_outdated`.
fn said(Verdict { state, rule, reason }: Verdict) -> String {
    format!("{state} by rule {rule}, {reason}")
}
