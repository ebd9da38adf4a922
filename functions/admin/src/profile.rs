//! Enforcement profiles: made, drafted, published to all or to some, rolled back.

use policy::Knobs;
use protocol::ProfileId;
use protocol::admin::{Profile, ProfileVersion, Time};
use serde_json::value::RawValue;
use store::{Change, ProfileRow, ProfileVersionRow, Store};

use crate::error::{self, Error};
use crate::operator::{Expected, Making, Operator, States};

/// Makes a profile whose knobs are published as version 1.
///
/// # Errors
/// When the name is empty, too long or taken, or a knob is refused.
pub async fn create(operator: &Operator<'_>, name: &str, knobs: &str) -> Result<Profile, Error> {
    if !(1..=100).contains(&name.chars().count()) || name.contains('\0') {
        return Err(Error::invalid("/name", "has to have 1 to 100 characters"));
    }
    let knobs = checked(knobs)?;
    let mut connection = operator.connect().await?;
    let draft = match operator.begin_making(&mut connection).await? {
        Making::Done(profile) => return Ok(profile),
        Making::New(draft) => draft,
    };
    let profile = shown(draft.change.insert_profile(name, &knobs).await?);
    operator.finish_making(draft, "profile.create", profile.id, States::made(&profile)?, &profile).await?;
    Ok(profile)
}

/// Makes a draft of a profile's next version. It judges nobody until it is published.
///
/// # Errors
/// When there is no such profile, or a knob is refused.
pub async fn draft(operator: &Operator<'_>, id: ProfileId, knobs: &str) -> Result<ProfileVersion, Error> {
    let knobs = checked(knobs)?;
    let mut connection = operator.connect().await?;
    let making = match operator.begin_making(&mut connection).await? {
        Making::Done(version) => return Ok(version),
        Making::New(making) => making,
    };
    locked(&making.change, id, &Expected::ANY).await?;
    let version = version_shown(making.change.insert_draft(id, &knobs).await?);
    making.change.touch_profile(id).await?;
    let states = States::made(&version)?;
    operator.finish_making(making, "profile.draft", id, states, &version).await?;
    Ok(version)
}

/// Has a version judge so many installs in a hundred from their next beat on, always the same ones; the rest stays with
/// the version that judged before. Done twice is done.
///
/// # Errors
/// When there is no such profile or version, or it has changed since.
pub async fn publish(
    operator: &Operator<'_>,
    id: ProfileId,
    number: i32,
    percent: i32,
    expected: &Expected,
) -> Result<Profile, Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = locked(&change, id, expected).await?;
    let version = change.find_version(id, number).await?;
    let version = version.ok_or_else(|| Error::not_found("version", &number))?;
    if before.active_number == number && before.percent == percent && version.published_at.is_some() {
        return Ok(shown(before));
    }
    let rest = rest(&before, number, percent)?;
    finish(operator, change, before, ("profile.publish", number, percent, rest)).await
}

/// Which version judges the rest, when one is published to so many installs in a hundred.
pub(crate) fn rest(before: &ProfileRow, number: i32, percent: i32) -> Result<Option<i32>, Error> {
    if percent == 100 {
        return Ok(None);
    }
    // Of a version that judges some already, the rest stays with whatever judged it.
    let rest =
        if before.active_number == number { before.previous_number } else { Some(before.active_number) };
    let none = || Error::Conflict(format!("version {number} judges all, and there is none for the rest"));
    rest.ok_or_else(none).map(Some)
}

/// Publishes new knobs as a profile's next version, at once, to so many installs in a hundred.
///
/// # Errors
/// When there is no such profile, or a knob is refused.
pub async fn publish_next(
    operator: &Operator<'_>,
    id: ProfileId,
    knobs: &str,
    percent: i32,
) -> Result<Profile, Error> {
    let knobs = checked(knobs)?;
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = locked(&change, id, &Expected::ANY).await?;
    let draft = change.insert_draft(id, &knobs).await?;
    let rest = rest(&before, draft.number, percent)?;
    finish(operator, change, before, ("profile.publish", draft.number, percent, rest)).await
}

/// Has all installs judged by the version before the one that judges now.
///
/// # Errors
/// When there is no such profile, it has changed since, or there is no version before.
pub async fn roll_back(
    operator: &Operator<'_>,
    id: ProfileId,
    expected: &Expected,
) -> Result<Profile, Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = locked(&change, id, expected).await?;
    let number = if let Some(number) = before.previous_number {
        number
    } else {
        let earlier = change.find_version_before(id, before.active_number).await?;
        let none = || Error::Conflict("there is no version before the one that judges".to_owned());
        earlier.ok_or_else(none)?.number
    };
    finish(operator, change, before, ("profile.rollback", number, 100, None)).await
}

async fn finish(
    operator: &Operator<'_>,
    change: Change<'_>,
    before: ProfileRow,
    (action, number, percent, rest): (&'static str, i32, i32, Option<i32>),
) -> Result<Profile, Error> {
    let id = before.id;
    let after = shown(change.judge_by(id, number, percent, rest).await?);
    operator.finish(change, action, id, States::changed(&shown(before), &after)?).await?;
    Ok(after)
}

/// At most `limit` profiles after the one named `after`, by name.
///
/// # Errors
/// When the database isn't available.
pub async fn list(store: &Store, after: Option<&str>, limit: i64) -> Result<Vec<Profile>, Error> {
    Ok(store.list_profiles(after.unwrap_or_default(), limit).await?.into_iter().map(shown).collect())
}

/// A profile by its id or its name.
///
/// # Errors
/// When there is none.
pub async fn show(store: &Store, id_or_name: &str) -> Result<Profile, Error> {
    let found = store.find_profile(id_or_name).await?;
    found.map(shown).ok_or_else(|| Error::not_found("profile", &id_or_name))
}

/// At most `limit` versions of a profile before `before`, the newest first.
///
/// # Errors
/// When there is no such profile.
pub async fn versions(
    store: &Store,
    id: ProfileId,
    before: Option<i32>,
    limit: i64,
) -> Result<Vec<ProfileVersion>, Error> {
    show(store, &id.to_string()).await?;
    let versions = store.list_profile_versions(id, before, limit).await?;
    Ok(versions.into_iter().map(version_shown).collect())
}

async fn locked(change: &Change<'_>, id: ProfileId, expected: &Expected) -> Result<ProfileRow, Error> {
    let profile = change.lock_profile(id).await?.ok_or_else(|| Error::not_found("profile", &id))?;
    expected.check(profile.version)?;
    Ok(profile)
}

/// Knobs, checked and with every default written out, so that a later default changes no published version.
fn checked(knobs: &str) -> Result<String, Error> {
    Ok(Knobs::parse(knobs).map_err(error::knobs)?.to_json())
}

pub(crate) fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).unwrap_or_default()
}

fn shown(row: ProfileRow) -> Profile {
    Profile {
        id: row.id,
        name: row.name,
        active_number: row.active_number,
        knobs: raw(row.knobs),
        percent: row.percent,
        previous_number: row.previous_number,
        created_at: Time(row.created_at),
        updated_at: Time(row.updated_at),
        version: row.version,
    }
}

fn version_shown(row: ProfileVersionRow) -> ProfileVersion {
    ProfileVersion { number: row.number, knobs: raw(row.knobs), published_at: row.published_at.map(Time) }
}
