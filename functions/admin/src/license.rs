//! Licenses: made, changed, listed, suspended, resumed, revoked; their keys revealed and rotated.

use protocol::admin::{License, LicenseChange, LicenseStatus, LicenseWithKey, NewLicense, RevealedKey};
use protocol::ambient::array;
use protocol::{LicenseId, LicenseKey};
use store::{Change, LicenseFilter, LicenseRow, NewLicense as Terms, Store};

use crate::error::Error;
use crate::operator::{Expected, Making, Operator, States};

/// Makes a license and its key.
///
/// # Errors
/// When there is no such profile, or it would end before it starts.
pub async fn create(operator: &Operator<'_>, wanted: NewLicense) -> Result<LicenseWithKey, Error> {
    let terms = terms(operator.store, wanted);
    check(operator.store, &terms).await?;
    let mut connection = operator.connect().await?;
    let draft = match operator.begin_making(&mut connection).await? {
        Making::Done(created) => return Ok(created),
        Making::New(draft) => draft,
    };
    let key = LicenseKey::generate(array(operator.store.random()));
    let id = draft.change.insert_license(&terms, &key).await?;
    let license = License::from(locked(&draft.change, id, &Expected::ANY).await?);
    let states = States::made(&license)?;
    let created = LicenseWithKey { license, license_key: key.printed().to_string() };
    operator.finish_making(draft, "license.create", id, states, &created).await?;
    Ok(created)
}

/// At most `limit` licenses after `after`, in the order in which they were made.
///
/// # Errors
/// When the database isn't available.
pub async fn list(
    store: &Store,
    filter: &LicenseFilter,
    after: Option<LicenseId>,
    limit: i64,
) -> Result<Vec<License>, Error> {
    Ok(store.list_licenses(filter, after, limit).await?.into_iter().map(License::from).collect())
}

/// A license.
///
/// # Errors
/// When there is no such license.
pub async fn show(store: &Store, id: LicenseId) -> Result<License, Error> {
    store.find_license(id).await?.map(License::from).ok_or_else(|| Error::not_found("license", &id))
}

/// Changes a license's terms. Its installs are told at their next beat. To what they are is done.
///
/// # Errors
/// When there is no such license or profile, it has changed since, it is revoked, or it would end before it starts.
pub async fn change(
    operator: &Operator<'_>,
    id: LicenseId,
    expected: &Expected,
    wanted: LicenseChange,
) -> Result<License, Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = locked(&change, id, expected).await?;
    if before.status() == LicenseStatus::Revoked {
        return Err(revoked(id));
    }
    let old = &before.terms;
    let text = |new: Option<Box<serde_json::value::RawValue>>, old: &str| {
        new.map_or_else(|| old.to_owned(), |new| new.get().to_owned())
    };
    let terms = Terms {
        product: old.product.clone(),
        customer: wanted.customer.unwrap_or_else(|| old.customer.clone()),
        profile_id: wanted.profile_id.unwrap_or(old.profile_id),
        max_installs: wanted.max_installs.unwrap_or(old.max_installs),
        starts_at: wanted.starts_at.map_or(old.starts_at, |time| time.0),
        expires_at: wanted.expires_at.map_or(old.expires_at, |end| end.map(|time| time.0)),
        entitlements: text(wanted.entitlements, &old.entitlements),
        lease_max_seconds: wanted.lease_max_seconds.unwrap_or(old.lease_max_seconds),
        metadata: text(wanted.metadata, &old.metadata),
    };
    if terms == *old {
        return Ok(License::from(before));
    }
    check(operator.store, &terms).await?;
    let after = License::from(change.update_license(&before, &terms).await?);
    change.restate_license(id).await?;
    operator.finish(change, "license.change", id, States::changed(&License::from(before), &after)?).await?;
    Ok(after)
}

/// What a new license is made of; without a start it starts now.
pub(crate) fn terms(store: &Store, wanted: NewLicense) -> Terms {
    Terms {
        product: wanted.product,
        customer: wanted.customer,
        profile_id: wanted.profile_id,
        max_installs: wanted.max_installs,
        starts_at: wanted.starts_at.map_or_else(|| store.clock().unix_seconds(), |time| time.0),
        expires_at: wanted.expires_at.map(|time| time.0),
        entitlements: wanted.entitlements.get().to_owned(),
        lease_max_seconds: wanted.lease_max_seconds,
        metadata: wanted.metadata.get().to_owned(),
    }
}

/// What no single member says.
pub(crate) async fn check(store: &Store, terms: &Terms) -> Result<(), Error> {
    if terms.expires_at.is_some_and(|end| end <= terms.starts_at) {
        return Err(Error::invalid("/expires_at", "has to be later than starts_at"));
    }
    if store.find_profile(&terms.profile_id.to_string()).await?.is_none() {
        return Err(Error::invalid("/profile_id", "is no profile's id"));
    }
    Ok(())
}

/// Suspends a license: its installs are told at their next beat. Done twice is done.
///
/// # Errors
/// When there is no such license, it has changed since, or it is revoked.
pub async fn suspend(operator: &Operator<'_>, id: LicenseId, expected: &Expected) -> Result<License, Error> {
    act(operator, id, expected, "license.suspend").await
}

/// Ends a license's suspension. Done twice is done.
///
/// # Errors
/// When there is no such license, it has changed since, or it is revoked.
pub async fn resume(operator: &Operator<'_>, id: LicenseId, expected: &Expected) -> Result<License, Error> {
    act(operator, id, expected, "license.resume").await
}

/// Revokes a license for good. Done twice is done.
///
/// # Errors
/// When there is no such license, or it has changed since.
pub async fn revoke(operator: &Operator<'_>, id: LicenseId, expected: &Expected) -> Result<License, Error> {
    act(operator, id, expected, "license.revoke").await
}

async fn act(
    operator: &Operator<'_>,
    id: LicenseId,
    expected: &Expected,
    action: &'static str,
) -> Result<License, Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = locked(&change, id, expected).await?;
    let after = match (action, before.status()) {
        ("license.revoke", LicenseStatus::Active | LicenseStatus::Suspended) => {
            change.revoke_license(id).await?
        }
        ("license.revoke", LicenseStatus::Revoked)
        | ("license.suspend", LicenseStatus::Suspended)
        | ("license.resume", LicenseStatus::Active) => return Ok(License::from(before)),
        (_, LicenseStatus::Revoked) => return Err(revoked(id)),
        ("license.suspend", _) => change.suspend_license(id).await?,
        _ => change.resume_license(id).await?,
    };
    change.restate_license(id).await?;
    let (before, after) = (License::from(before), License::from(after));
    operator.finish(change, action, id, States::changed(&before, &after)?).await?;
    Ok(after)
}

/// Tells a license's key once more. The audit log says that it was told, and to whom.
///
/// # Errors
/// When there is no such license.
pub async fn reveal_key(operator: &Operator<'_>, id: LicenseId) -> Result<RevealedKey, Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let license = License::from(locked(&change, id, &Expected::ANY).await?);
    let license_key = change.open_license_key(id).await?.printed().to_string();
    operator.finish(change, "license.reveal_key", id, States::changed(&license, &license)?).await?;
    Ok(RevealedKey { license_key })
}

/// Gives a license another key. The one before activates nothing any more; installs beat on.
///
/// # Errors
/// When there is no such license, it has changed since, or it is revoked.
pub async fn rotate_key(
    operator: &Operator<'_>,
    id: LicenseId,
    expected: &Expected,
) -> Result<LicenseWithKey, Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = locked(&change, id, expected).await?;
    if before.status() == LicenseStatus::Revoked {
        return Err(revoked(id));
    }
    let key = LicenseKey::generate(array(operator.store.random()));
    let license = License::from(change.rekey_license(id, &key).await?);
    operator
        .finish(change, "license.rotate_key", id, States::changed(&License::from(before), &license)?)
        .await?;
    Ok(LicenseWithKey { license, license_key: key.printed().to_string() })
}

async fn locked(change: &Change<'_>, id: LicenseId, expected: &Expected) -> Result<LicenseRow, Error> {
    let license = change.lock_license(id).await?.ok_or_else(|| Error::not_found("license", &id))?;
    expected.check(license.version)?;
    Ok(license)
}

fn revoked(id: LicenseId) -> Error {
    Error::Conflict(format!("license {id} is revoked, and that is final"))
}
