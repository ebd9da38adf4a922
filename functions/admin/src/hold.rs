//! The incident hold: shown, set, ended.

use protocol::admin::{Hold, NewHold, Time};
use store::{HoldRow, Store};

use crate::error::Error;
use crate::operator::{Operator, States};

/// How far off a hold's end is at most, seconds: 90 days. What takes longer is no incident; it can be set again.
const LONGEST: i64 = 90 * 86_400;

/// The hold that is on.
///
/// # Errors
/// When the database isn't available.
pub async fn show(store: &Store) -> Result<Hold, Error> {
    Ok(shown(store.find_hold().await?))
}

/// Sets a hold, in the place of the one that is on: every judgement from now on knows it. The same twice is done.
///
/// # Errors
/// When it would end at once, or too far from now.
pub async fn set(operator: &Operator<'_>, wanted: NewHold) -> Result<Hold, Error> {
    let now = operator.store.clock().unix_seconds();
    let NewHold { until, reason } = wanted;
    if until.0 <= now || until.0 > now.saturating_add(LONGEST) {
        let latest = Time(now.saturating_add(LONGEST));
        return Err(Error::invalid(
            "/until",
            format!("has to be later than now, and {latest} at the latest"),
        ));
    }
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = change.lock_hold().await?;
    if before.as_ref().is_some_and(|hold| hold.until == until.0 && hold.reason == reason) {
        return Ok(shown(before));
    }
    let hold = HoldRow { until: until.0, reason, since: now, set_by: operator.actor.name.clone() };
    change.write_hold(Some(&hold)).await?;
    let after = shown(Some(hold));
    let states = match before {
        None => States::made(&after)?,
        before => States::changed(&shown(before), &after)?,
    };
    operator.finish(change, "hold.set", THE_HOLD, states).await?;
    Ok(after)
}

/// Ends the hold that is on. Done twice is done.
///
/// # Errors
/// When the database isn't available.
pub async fn end(operator: &Operator<'_>) -> Result<(), Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let Some(before) = change.lock_hold().await? else { return Ok(()) };
    change.write_hold(None).await?;
    operator.finish(change, "hold.end", THE_HOLD, States::removed(&shown(Some(before)))?).await?;
    Ok(())
}

/// There is one, so this is its id.
const THE_HOLD: &str = "hold";

pub(crate) fn shown(row: Option<HoldRow>) -> Hold {
    row.map_or_else(Hold::default, |HoldRow { until, reason, since, set_by }| Hold {
        until: Some(Time(until)),
        reason: Some(reason),
        since: Some(Time(since)),
        set_by: Some(set_by),
    })
}
