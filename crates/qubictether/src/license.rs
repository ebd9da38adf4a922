//! `license create|list|show|change|suspend|resume|revoke|reveal-key|rotate-key`.

use std::str::FromStr;

use admin::{Expected, Operator, license, profile};
use clap::{Args, Subcommand};
use protocol::admin::{
    License, LicenseChange, LicenseStatus, LicenseWithKey, NewLicense, Time, parse_object, parse_time,
};
use protocol::ambient::{Clock, SystemClock};
use protocol::json::{self, Reader};
use protocol::problem::FieldError;
use protocol::{LicenseId, ProductCode, ProfileId};
use serde_json::value::RawValue;
use store::{LicenseFilter, Store};

use crate::error::Error;
use crate::{account, output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a license; prints its key, which is told only now
    Create(Create),
    /// Licenses, in the order in which they were made
    List {
        /// Only those for this product
        #[arg(long)]
        product: Option<ProductCode>,
        /// Only this customer's
        #[arg(long)]
        customer: Option<String>,
        /// Only those that are active, suspended or revoked
        #[arg(long, value_parser = LicenseStatus::from_str)]
        status: Option<LicenseStatus>,
        /// Only those after this one
        #[arg(long, value_name = "ID")]
        after: Option<LicenseId>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
    /// A license
    Show {
        /// Its id
        license: LicenseId,
    },
    /// Change a license's terms: what is named becomes another, from the installs' next beats on
    Change(Change),
    /// Suspend a license and so all its installs, until it is resumed
    Suspend {
        /// Its id
        license: LicenseId,
    },
    /// End a license's suspension
    Resume {
        /// Its id
        license: LicenseId,
    },
    /// Revoke a license, for good
    Revoke {
        /// Its id
        license: LicenseId,
    },
    /// Tell a license's key once more; the audit log notes it
    RevealKey {
        /// Its id
        license: LicenseId,
    },
    /// Give a license another key: the one before activates nothing any more, installs beat on
    RotateKey {
        /// Its id
        license: LicenseId,
    },
}

#[derive(Args)]
pub(crate) struct Create {
    /// Product code: lower-case letters, digits, ".", "_" and "-", at most 64
    #[arg(long)]
    product: String,
    /// Whose it is
    #[arg(long)]
    customer: String,
    /// The profile's id or name; may be left out where there is one profile only
    #[arg(long, value_name = "PROFILE")]
    profile_id: Option<String>,
    /// How many installs may hold a seat
    #[arg(long, value_name = "N")]
    max_installs: i64,
    /// First instant of the term, RFC 3339; now where it is left out
    #[arg(long, value_name = "TIME", value_parser = instant)]
    starts_at: Option<i64>,
    /// End of the term, RFC 3339, or so many days from now, like 30d; without it there is none
    #[arg(long, value_name = "TIME", value_parser = end)]
    expires_at: Option<i64>,
    /// What tokens carry, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
    entitlements: Box<RawValue>,
    /// The license's own cap on offline leases, seconds
    #[arg(long, value_name = "SECONDS")]
    lease_max_seconds: Option<i64>,
    /// Notes of your own, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
    metadata: Box<RawValue>,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Terms {
    /// Whose it is
    #[arg(long)]
    customer: Option<String>,
    /// The profile's id or name
    #[arg(long, value_name = "PROFILE")]
    profile_id: Option<String>,
    /// How many installs may hold a seat; where they become fewer, the newest are over them from now on
    #[arg(long, value_name = "N")]
    max_installs: Option<i64>,
    /// First instant of the term, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = instant)]
    starts_at: Option<i64>,
    /// End of the term, RFC 3339, or so many days from now, like 30d; "never": it has no end
    #[arg(long, value_name = "TIME", value_parser = end_or_never)]
    expires_at: Option<Bound>,
    /// What tokens carry, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    entitlements: Option<Box<RawValue>>,
    /// The license's own cap on offline leases, seconds; "none": it has none of its own
    #[arg(long, value_name = "SECONDS", value_parser = cap_or_none)]
    lease_max_seconds: Option<Bound>,
    /// Notes of your own, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    metadata: Option<Box<RawValue>>,
}

#[derive(Args)]
pub(crate) struct Change {
    /// Its id
    license: LicenseId,
    #[command(flatten)]
    terms: Terms,
}

/// An end or a cap, where there may be none.
#[derive(Clone, Copy)]
struct Bound(Option<i64>);

fn end_or_never(text: &str) -> Result<Bound, String> {
    if text == "never" { Ok(Bound(None)) } else { end(text).map(|at| Bound(Some(at))) }
}

fn cap_or_none(text: &str) -> Result<Bound, String> {
    if text == "none" {
        return Ok(Bound(None));
    }
    text.parse().map(|cap| Bound(Some(cap))).map_err(|_| "a cap is a number of seconds, or none".to_owned())
}

pub(crate) fn instant(text: &str) -> Result<i64, String> {
    parse_time(text).ok_or_else(|| "a time has to be like 2027-01-31T00:00:00Z".to_owned())
}

fn object(text: &str) -> Result<Box<RawValue>, String> {
    parse_object(text).map_err(|error| error.to_string())
}

/// An instant, or days from now.
pub(crate) fn end(text: &str) -> Result<i64, String> {
    let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u16>().ok()) else {
        return instant(text).map_err(|error| format!("{error}, or in days from now, like 30d"));
    };
    Ok(SystemClock.unix_seconds() + i64::from(days) * 86_400)
}

pub(crate) async fn run(store: &Store, command: Command, json: bool) -> Result<(), Error> {
    let (operator, any) = (account::operator(store), Expected::ANY);
    let license = match command {
        Command::Create(create) => return make(&operator, create, json).await,
        Command::List { product, customer, status, after, limit } => {
            let filter = LicenseFilter { product, customer, status, ..LicenseFilter::default() };
            return list(&license::list(store, &filter, after, limit).await?, json);
        }
        Command::Change(Change { license, terms }) => change(&operator, license, terms).await?,
        Command::Show { license } => license::show(store, license).await?,
        Command::Suspend { license } => license::suspend(&operator, license, &any).await?,
        Command::Resume { license } => license::resume(&operator, license, &any).await?,
        Command::Revoke { license } => license::revoke(&operator, license, &any).await?,
        Command::RevealKey { license } => {
            let revealed = license::reveal_key(&operator, license).await?;
            return if json { output::json(&revealed) } else { output::line(&revealed.license_key) };
        }
        Command::RotateKey { license } => {
            return told(&license::rotate_key(&operator, license, &any).await?, json);
        }
    };
    if json {
        return output::json(&license);
    }
    describe(&license)
}

async fn change(operator: &Operator<'_>, id: LicenseId, terms: Terms) -> Result<License, Error> {
    let profile = match &terms.profile_id {
        Some(id_or_name) => Some(profile::show(operator.store, id_or_name).await?.id),
        None => None,
    };
    let time = |at: i64| text(&Time(at).to_string());
    let named = [
        ("customer", terms.customer.as_deref().map(text)),
        ("profile_id", profile.map(|id| text(&id.to_string()))),
        ("max_installs", terms.max_installs.map(|seats| seats.to_string())),
        ("starts_at", terms.starts_at.map(time)),
        ("expires_at", terms.expires_at.map(|end| or_null(end.0.map(time)))),
        ("entitlements", terms.entitlements.map(|object| object.get().to_owned())),
        ("lease_max_seconds", terms.lease_max_seconds.map(|cap| or_null(cap.0.map(|cap| cap.to_string())))),
        ("metadata", terms.metadata.map(|object| object.get().to_owned())),
    ];
    let members = named.into_iter().filter_map(|(name, value)| Some(format!("\"{name}\":{}", value?)));
    let wanted = read(&format!("{{{}}}", members.collect::<Vec<_>>().join(",")), LicenseChange::read)?;
    Ok(license::change(operator, id, &Expected::ANY, wanted).await?)
}

/// Reads what was said as a body is, so that both ways know the same bounds.
pub(crate) fn read<T>(body: &str, body_of: impl FnOnce(Reader<'_>) -> Option<T>) -> Result<T, Error> {
    let body = json::parse(body.as_bytes()).map_err(|error| Error::Usage(error.to_string()))?;
    Ok(json::read(&body, body_of).map_err(admin::Error::Invalid)?)
}

fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

fn or_null(value: Option<String>) -> String {
    value.unwrap_or_else(|| "null".to_owned())
}

async fn make(operator: &Operator<'_>, create: Create, json: bool) -> Result<(), Error> {
    let profile = profile(operator.store, create.profile_id.as_deref()).await?;
    let id = profile.as_ref().map_or_else(|_| "null".to_owned(), |id| text(&id.to_string()));
    // Entitlements and notes keep their letters.
    let body = format!(
        r#"{{"product":{},"customer":{},"profile_id":{id},"max_installs":{},"starts_at":{},"expires_at":{},
            "entitlements":{},"lease_max_seconds":{},"metadata":{}}}"#,
        text(&create.product),
        text(&create.customer),
        create.max_installs,
        or_null(create.starts_at.map(|time| text(&Time(time).to_string()))),
        or_null(create.expires_at.map(|time| text(&Time(time).to_string()))),
        create.entitlements,
        or_null(create.lease_max_seconds.map(|cap| cap.to_string())),
        create.metadata,
    );
    // What is said of the profile says more than that its id is none.
    let wanted = read(&body, NewLicense::read).map_err(|error| match (error, profile) {
        (Error::Admin(admin::Error::Invalid(errors)), Err(missing)) => {
            let others = errors.into_iter().filter(|error| error.pointer != missing.pointer).collect();
            admin::Error::Invalid([others, vec![missing]].concat()).into()
        }
        (error, _) => error,
    })?;
    told(&license::create(operator, wanted).await?, json)
}

/// A license with the key that it just got.
fn told(license: &LicenseWithKey, json: bool) -> Result<(), Error> {
    if json {
        return output::json(license);
    }
    describe(&license.license)?;
    output::line(&format!("key: {}", license.license_key))
}

/// A profile by its id or its name, or the only one there is; else what to do.
pub(crate) async fn profile(
    store: &Store,
    id_or_name: Option<&str>,
) -> Result<Result<ProfileId, FieldError>, Error> {
    if let Some(id_or_name) = id_or_name {
        return Ok(Ok(profile::show(store, id_or_name).await?.id));
    }
    let detail = match profile::list(store, None, 100).await?.as_slice() {
        [only] => return Ok(Ok(only.id)),
        [] => "is missing, and there is no profile yet: make one first, by qubictether profile create --name NAME".to_owned(),
        several => {
            let names: Vec<_> = several.iter().map(|profile| profile.name.as_str()).collect();
            format!("is missing, and there are several profiles; say which by --profile-id: {}", names.join(", "))
        }
    };
    Ok(Err(FieldError { pointer: "/profile_id".to_owned(), detail }))
}

fn describe(license: &License) -> Result<(), Error> {
    let end = license.expires_at.map_or_else(|| "no end".to_owned(), |end| end.to_string());
    output::line(&format!("license {} is {}", license.id, license.status))?;
    output::line(&format!("{} for {}, {} seats", license.product, license.customer, license.max_installs))?;
    output::line(&format!("from {} to {end}, judged by profile {}", license.starts_at, license.profile_id))
}

fn list(licenses: &[License], json: bool) -> Result<(), Error> {
    if json {
        return output::json(&licenses);
    }
    let row = |license: &License| {
        [
            license.id.to_string(),
            license.status.to_string(),
            license.product.to_string(),
            license.max_installs.to_string(),
            license.expires_at.map_or_else(|| "-".to_owned(), |end| end.to_string()),
            license.customer.clone(),
        ]
    };
    let rows: Vec<_> = licenses.iter().map(row).collect();
    let heading = ["ID", "STATUS", "PRODUCT", "SEATS", "EXPIRES", "CUSTOMER"];
    output::table(heading, &rows, "no licenses: qubictether license create --help")
}
