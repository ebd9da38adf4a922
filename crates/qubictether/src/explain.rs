//! An install's explanation, for people.

use protocol::admin::{Component, Install, JudgingVersion, SeatPlace, TracedRule};

use crate::error::Error;
use crate::output;

/// Prints what is said of an install, and what will be if nothing more is heard.
pub(crate) fn print(install: &Install) -> Result<(), Error> {
    let decision = &install.decision;
    let name = install.name.as_deref().unwrap_or("unnamed");
    output::line(&format!("install {} ({name}) of license {}", install.id, install.license_id))?;
    output::line(&format!(
        "{}: {} by rule {}, {}, as of {}",
        install.status, decision.state, decision.rule, decision.reason, decision.at
    ))?;
    for step in &install.ladder {
        output::line(&format!("  from {} {} by rule {}, {}", step.at, step.state, step.rule, step.reason))?;
    }
    match &install.remedy {
        Some(remedy) => output::line(&format!("remedy: {remedy}")),
        None => Ok(()),
    }
}

/// Prints why.
pub(crate) fn print_with_reasons(install: &Install) -> Result<(), Error> {
    print(install)?;
    output::line("")?;
    if let Some(profile) = &install.profile {
        output::line(&format!("judged by {}", judged_by(profile)))?;
    }
    let skew = install.clock_skew.map_or_else(String::new, |skew| format!(", its clock off by {skew} s"));
    output::line(&format!(
        "activated {}, last heard of {}{skew}",
        install.activated_at, install.last_contact
    ))?;
    output::line(&format!("agent {} on {}", install.agent.version, install.agent.platform))?;
    if let Some(seat) = install.seat {
        output::line(&seated(seat))?;
    }
    if let Some(secret) = install.secret {
        output::line(secret.about())?;
    }
    if let Some(lease) = &install.lease {
        let revoked = lease.revoked_at.map_or_else(String::new, |at| format!(", revoked {at}"));
        output::line(&format!("lease {} until {}{revoked}", lease.id, lease.ends_at))?;
    }
    output::line("")?;
    let rows: Vec<_> = install.components.iter().map(component).collect();
    output::table(["COMPONENT", "", "WEIGHT", "BOUND", "OBSERVED"], &rows, "no components")?;
    output::line("")?;
    let rows: Vec<_> = install.trace.iter().map(|rule| traced(rule, install)).collect();
    output::table(["RULE", "HOLDS", "BECAUSE"], &rows, "no rules")
}

fn judged_by(profile: &JudgingVersion) -> String {
    let JudgingVersion { id, name, number, active_number, percent } = profile;
    let rest = match percent {
        100 => String::new(),
        _ if number == active_number => format!(", which judges {percent} installs in a hundred"),
        _ => format!(", while version {active_number} judges {percent} installs in a hundred"),
    };
    format!("version {number} of profile {name} ({id}){rest}")
}

fn seated(SeatPlace { rank, taken, max_installs }: SeatPlace) -> String {
    let place = rank.map_or_else(|| "holds no seat".to_owned(), |rank| format!("holds seat {rank}"));
    format!("{place}; {taken} of the license's {max_installs} seats are taken")
}

fn component(component: &Component) -> [String; 5] {
    let digest =
        |digest: &Option<String>| digest.as_ref().map_or_else(|| "-".to_owned(), |text| format!("{text}…"));
    [
        component.name.clone(),
        component.comparison.to_string(),
        component.weight.to_string(),
        digest(&component.bound),
        digest(&component.observed),
    ]
}

/// The rule that has decided is marked.
fn traced(rule: &TracedRule, install: &Install) -> [String; 3] {
    let holds = match rule.matched {
        true if rule.rule == install.decision.rule => "decides",
        true => "yes",
        false => "no",
    };
    [rule.rule.to_string(), holds.to_owned(), rule.because.clone()]
}
