//! `import keygen`: licenses, machines and entitlements of another license server, seen first and then brought.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use admin::{Operator, import, profile};
use clap::{Args, Subcommand};
use protocol::{ProductCode, fingerprint};
use serde_json::json;
use store::Store;

use crate::error::Error;
use crate::import_plan::{Choices, Plan, Remark, SOURCE};
use crate::keygen::Export;
use crate::{account, license, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Licenses, machines and entitlements from Keygen
    ///
    /// FILE holds what Keygen's API lists: documents of JSON:API with licenses, machines, policies, products, users and
    /// entitlements, one after another or in an array. Without --apply nothing is changed, and what would be is told.
    ///
    /// Each license gets a new key (Keygen's have another form), printed with Keygen's id. Each machine becomes an install that
    /// holds its seat; an agent that tells Keygen's fingerprint as the component `machine` activates into it:
    /// `qubictether-agent --fingerprint FILE`, with {"machine": "…"} in the file.
    /// What was brought before is left as it is, so that an import that was broken off can be run again.
    Keygen(Keygen),
}

#[derive(Args)]
pub(crate) struct Keygen {
    /// The export
    file: PathBuf,
    /// Do it; without this it is only told what would be done
    #[arg(long)]
    apply: bool,
    /// Bring what can be brought, although some licenses have problems or pages of a list are missing
    #[arg(long, requires = "apply")]
    leave_out: bool,
    /// The profile that judges the installs, its id or name; may be left out where there is one profile only
    #[arg(long, value_name = "PROFILE")]
    profile_id: Option<String>,
    /// The code of a product by Keygen's id or code of it, KEYGEN=CODE, or of all the others, CODE
    #[arg(long, value_name = "[KEYGEN=]CODE", value_parser = product)]
    product: Vec<(String, ProductCode)>,
    /// Under which component's name agents tell the fingerprint that Keygen knows
    #[arg(long, value_name = "NAME", default_value = "machine", value_parser = component)]
    component: String,
}

fn product(text: &str) -> Result<(String, ProductCode), String> {
    let (keygen, code) = text.rsplit_once('=').unwrap_or(("", text));
    code.parse()
        .map(|code| (keygen.to_owned(), code))
        .map_err(|error| format!("{code}: a product code is {error}"))
}

fn component(text: &str) -> Result<String, String> {
    fingerprint::check_name(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

pub(crate) async fn run(store: &Store, command: Command, json: bool) -> Result<(), Error> {
    let Command::Keygen(keygen) = command;
    let export = read(&keygen.file)?;
    let profile_id = license::profile(store, keygen.profile_id.as_deref()).await?;
    let choices = Choices {
        profile_id: profile_id.map_err(|error| admin::Error::Invalid(vec![error]))?,
        products: keygen.product.into_iter().collect::<HashMap<_, _>>(),
        component: keygen.component,
        now: store.clock().unix_seconds(),
    };
    profile::show(store, &choices.profile_id.to_string()).await?;
    let mut plan = Plan::of(&export, &choices);
    let ids: Vec<&str> = plan.licenses.iter().map(|license| license.source_id.as_str()).collect();
    let before: HashSet<String> = store.find_imported(SOURCE, &ids).await?.into_keys().collect();
    plan.licenses.retain(|license| !before.contains(&license.source_id));
    if !keygen.apply {
        return tell(&plan, before.len(), json);
    }
    if !plan.problems.is_empty() && !keygen.leave_out {
        complain(&plan.problems);
        return Err(Error::NotBrought { count: plan.unfit() });
    }
    apply(&account::operator(store), &plan, json).await
}

fn read(file: &Path) -> Result<Export, Error> {
    let text = std::fs::read_to_string(file).map_err(Error::io(format!("read {}", file.display())))?;
    let wrong = |error: String| Error::Usage(format!("{}: {error}", file.display()));
    let export = Export::read(&text).map_err(wrong)?;
    if export.all("licenses").is_empty() {
        return Err(wrong("there is no license in it".to_owned()));
    }
    Ok(export)
}

/// Says what would be done.
fn tell(plan: &Plan, before: usize, json: bool) -> Result<(), Error> {
    let installs: usize = plan.licenses.iter().map(|license| license.machines.len()).sum();
    if json {
        let license = |license: &import::ImportedLicense| {
            json!({
                "keygen_id": license.source_id, "license": license.license, "suspended": license.is_suspended,
                "installs": license.machines.len(),
            })
        };
        let licenses: Vec<_> = plan.licenses.iter().map(license).collect();
        output::json(&json!({
            "licenses": licenses, "brought_before": before, "problems": plan.problems, "notes": plan.notes,
        }))?;
    } else {
        let row = |license: &import::ImportedLicense| {
            [
                license.source_id.clone(),
                license.license.product.to_string(),
                license.license.max_installs.to_string(),
                license.machines.len().to_string(),
                license.license.expires_at.map_or_else(|| "-".to_owned(), |end| end.to_string()),
                if license.is_suspended { "suspended" } else { "active" }.to_owned(),
                license.license.entitlements.get().to_owned(),
                license.license.customer.clone(),
            ]
        };
        let rows: Vec<_> = plan.licenses.iter().map(row).collect();
        let heading =
            ["KEYGEN ID", "PRODUCT", "SEATS", "INSTALLS", "EXPIRES", "STATUS", "ENTITLEMENTS", "CUSTOMER"];
        output::table(heading, &rows, "no license is left to bring")?;
        for Remark { resource, id, detail } in &plan.notes {
            output::line(&format!("note: {resource} {id}: {detail}"))?;
        }
        output::line(&format!(
            "{} licenses with {installs} installs would be brought, {before} were before; --apply brings them",
            plan.licenses.len()
        ))?;
        complain(&plan.problems);
    }
    match plan.unfit() {
        0 => Ok(()),
        count => Err(Error::NotBrought { count }),
    }
}

fn complain(problems: &[Remark]) {
    for Remark { resource, id, detail } in problems {
        output::progress(&format!("problem: {resource} {id}: {detail}"));
    }
}

/// Brings one license after another. Each one's key is told as soon as it is there.
async fn apply(operator: &Operator<'_>, plan: &Plan, json: bool) -> Result<(), Error> {
    let mut brought = 0;
    for wanted in &plan.licenses {
        let Some(made) = import::license(operator, wanted).await? else { continue };
        brought += 1;
        let (id, installs) = (&wanted.source_id, wanted.machines.len());
        if json {
            output::json(&json!({
                "keygen_id": id, "license_id": made.license.id, "license_key": made.license_key,
                "customer": made.license.customer, "installs": installs,
            }))?;
        } else {
            output::line(&format!(
                "{id}  {}  {}  {}",
                made.license.id, made.license_key, made.license.customer
            ))?;
        }
    }
    output::progress(&format!(
        "{brought} licenses were brought, {} left out; their keys are told here once, and by `license reveal-key` again",
        plan.unfit()
    ));
    Ok(())
}
