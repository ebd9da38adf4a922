//! Licenses and installs brought from another license server, each license in one change.

use protocol::admin::{License, LicenseWithKey, NewLicense};
use protocol::ambient::array;
use protocol::{InstallId, LicenseId, LicenseKey};
use serde::Serialize;
use store::KnownMachine;

use crate::error::Error;
use crate::license::{check, terms};
use crate::operator::{Operator, States};

/// A license as another server had it.
#[derive(Debug)]
pub struct ImportedLicense {
    /// That server's kind.
    pub source: &'static str,
    /// Its id there.
    pub source_id: String,
    /// What it is here.
    pub license: NewLicense,
    /// Whether it is suspended.
    pub is_suspended: bool,
    /// The machines that hold its seats.
    pub machines: Vec<KnownMachine>,
}

/// What the audit log says of an import.
#[derive(Serialize)]
struct Brought<'a> {
    source: &'a str,
    source_id: &'a str,
    #[serde(flatten)]
    license: &'a License,
    installs: &'a [InstallId],
}

/// Makes a license with a key of its own, and its installs, which hold their seats and wait for their agents to activate. None:
/// it was brought before.
///
/// # Errors
/// When there is no such profile, or it would end before it starts.
pub async fn license(
    operator: &Operator<'_>,
    wanted: &ImportedLicense,
) -> Result<Option<LicenseWithKey>, Error> {
    let terms = terms(operator.store, wanted.license.clone());
    check(operator.store, &terms).await?;
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let key = LicenseKey::generate(array(operator.store.random()));
    let id: LicenseId = change.insert_license(&terms, &key).await?;
    if !change.claim_import(wanted.source, &wanted.source_id, id).await? {
        return Ok(None);
    }
    let mut installs = Vec::with_capacity(wanted.machines.len());
    for machine in &wanted.machines {
        installs.push(change.insert_known_install(id, machine).await?);
    }
    let row = if wanted.is_suspended {
        change.suspend_license(id).await?
    } else {
        change.lock_license(id).await?.ok_or_else(|| Error::not_found("license", &id))?
    };
    let license = License::from(row);
    let brought = Brought {
        source: wanted.source,
        source_id: &wanted.source_id,
        license: &license,
        installs: &installs,
    };
    let states = States::made(&brought)?;
    operator.finish(change, "license.import", id, states).await?;
    Ok(Some(LicenseWithKey { license, license_key: key.printed().to_string() }))
}
