//! What an operator sees first.

use policy::State;
use protocol::admin::{FallingInstall, HourCount, License, Overview, RuleCount, StateCount, Time};
use store::{FallingRow, HourRow, Store};

use crate::error::Error;
use crate::hold;

const DAY: i64 = 86_400;

/// How many licenses and installs are named.
const NAMED: i64 = 10;

/// How old what was counted may be, seconds.
const FRESH: i64 = 60;

/// What there is, and what is about to happen.
///
/// # Errors
/// When the database isn't available.
pub async fn show(store: &Store) -> Result<Overview, Error> {
    let now = store.clock().unix_seconds();
    store.sweep_if_due(FRESH).await?;
    let counted = store.count_installs().await?;
    let of = |state: &State| {
        let found = counted.iter().find(|(counted, _)| counted == state);
        StateCount { state: *state, installs: found.map_or(0, |(_, installs)| *installs) }
    };
    let all = !store::are_many(&counted);
    let (hours, rules) = store.heartbeats_over_time(now - DAY, all).await?;
    let expiring = store.licenses_ending(now, now + 30 * DAY, NAMED).await?;
    Ok(Overview {
        installs: State::ALL.iter().map(of).collect(),
        heartbeats: hours.into_iter().map(hour).collect(),
        decisions: rules
            .into_iter()
            .map(|row| RuleCount { rule: row.rule, state: row.state, heartbeats: row.heartbeats })
            .collect(),
        expiring_licenses: expiring.into_iter().map(License::from).collect(),
        falling_installs: store
            .installs_falling(now, now + 7 * DAY, NAMED)
            .await?
            .into_iter()
            .map(falling)
            .collect(),
        hold: hold::show(store).await?,
        at: Time(now),
    })
}

fn hour(row: HourRow) -> HourCount {
    let HourRow { hour, heartbeats, refused, clones } = row;
    HourCount { hour: Time(hour), heartbeats, refused, clones }
}

fn falling(row: FallingRow) -> FallingInstall {
    let FallingRow { install_id, license_id, name, state, falls_at } = row;
    FallingInstall { install_id, license_id, name, state, falls_at: Time(falls_at) }
}
