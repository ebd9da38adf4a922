//! A dry run: what publishing a version would change, by the latest facts of every install that it would judge.

use std::collections::BTreeMap;
use std::time::Duration;

use edge::Refusal;
use policy::{Knobs, evaluate};
use protocol::admin::{DryRun, DryRunRequest, ForetoldInstall, Time, Verdict};
use protocol::{InstallId, ProfileId};
use store::{ProfileRow, Standing, Store, is_among};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::profile::rest;

/// The most installs that one part looks at.
pub const MOST: i64 = 200_000;

/// How far ahead an instant may be, seconds.
const AHEAD: i64 = 90 * 86_400;

/// A part ends after so many seconds, wherever it is: whoever asked waits no longer.
const PATIENCE: i64 = 10;

/// The database breaks a part off after so many: it reads no row, or none any more.
const LONGEST: Duration = Duration::from_secs(20);

/// A process does one at a time. Each has a connection to itself for seconds, and beats need theirs.
static TURN: Semaphore = Semaphore::const_new(1);

/// Where a part begins: the instant that the first one judged, and the last install that was looked at.
pub type Place = (i64, InstallId);

/// Judges at most `limit` installs of a profile's licenses after `after` as if a version were published as `wanted` says.
/// Nothing is written. Returns where the next part begins, if there is one.
///
/// # Errors
/// When there is no such profile or version, it can't be published so, or the instant isn't within the next 90 days.
pub async fn dry_run(
    store: &Store,
    id: ProfileId,
    number: i32,
    wanted: DryRunRequest,
    after: Option<Place>,
    limit: i64,
) -> Result<(DryRun, Option<Place>), Error> {
    let _turn = TURN.acquire().await;
    let now = store.clock().unix_seconds();
    let at = match (after, wanted.at) {
        (Some((at, _)), _) | (None, Some(Time(at))) => at,
        (None, None) => now,
    };
    if after.is_none() && !(now..=now.saturating_add(AHEAD)).contains(&at) {
        return Err(Error::invalid("/at", "has to be an instant from now to 90 days ahead"));
    }
    let percent = wanted.percent.unwrap_or(100);
    let plan = Plan::of(store, id, number, percent).await?;
    let mut run = DryRun::new(id, number, percent, at);
    let end = now.saturating_add(PATIENCE);
    let look = |install: Standing| {
        plan.judge(&mut run, install, at);
        store.clock().unix_seconds() < end
    };
    let after = after.map(|(_, install)| install);
    let last = store.look_at_installs(id, after, limit, LONGEST, look).await.map_err(slow)?;
    run.notes = plan.notes();
    run.sort();
    Ok((run, last.map(|install| (at, install))))
}

fn slow(error: store::Error) -> Error {
    match error {
        store::Error::TookTooLong(_) => Error::Refused(Refusal::broken_off(
            "The dry run took longer in the database than 20 s and was broken off; nothing was changed. Ask for fewer \
             installs at once (limit), or again when the database has less to do.",
        )),
        error => error.into(),
    }
}

/// Who judges now, and who would.
struct Plan {
    profile: ProfileRow,
    number: i32,
    percent: i32,
    rest: Option<i32>,
    /// Of each version that does or would.
    knobs: BTreeMap<i32, Knobs>,
}

impl Plan {
    async fn of(store: &Store, id: ProfileId, number: i32, percent: i32) -> Result<Self, Error> {
        let profile = store.find_profile(&id.to_string()).await?;
        let profile = profile.ok_or_else(|| Error::not_found("profile", &id))?;
        let mut knobs = BTreeMap::new();
        let named = [Some(number), Some(profile.active_number), profile.previous_number];
        for number in named.into_iter().flatten() {
            let found = store.find_knobs(id, number).await?;
            knobs.insert(number, found.ok_or_else(|| Error::not_found("version", &number))?);
        }
        let rest = rest(&profile, number, percent)?;
        Ok(Self { profile, number, percent, rest, knobs })
    }

    fn judge(&self, run: &mut DryRun, install: Standing, at: i64) {
        let would_judge = self.rest.filter(|_| !is_among(self.percent, install.id)).unwrap_or(self.number);
        let knobs = (self.knobs.get(&self.profile.judging(install.id)), self.knobs.get(&would_judge));
        // INVARIANT(plan): `of` has read every version that judges or would.
        let (Some(now), Some(then)) = knobs else { return };
        let verdict = |knobs: &Knobs| Verdict::from(evaluate(&install.facts, &knobs.judging, at));
        let is_seated = |knobs: &Knobs| install.is_seated(knobs.release_silent_after, at);
        run.seats_released += i64::from(is_seated(now) && !is_seated(then));
        let (from, to) = (verdict(now), verdict(then));
        let Standing { id: install_id, license_id, name, .. } = install;
        run.count(from, to, || ForetoldInstall { install_id, license_id, name });
    }

    /// What the version changes besides, compared with those that judge now.
    fn notes(&self) -> Vec<String> {
        let Some(then) = self.knobs.get(&self.number) else { return Vec::new() };
        let judging = [Some(self.profile.active_number), self.profile.previous_number];
        let judging: Vec<&Knobs> =
            judging.into_iter().flatten().filter_map(|number| self.knobs.get(&number)).collect();
        let differs = |part: &dyn Fn(&Knobs, &Knobs) -> bool| judging.iter().any(|now| part(now, then));
        let notes = [
            (
                differs(&|now, then| now.require_approval != then.require_approval),
                "require_approval acts when a machine activates: installs that there are wait for nobody anew",
            ),
            (
                differs(&|now, then| now.reactivations_per_month != then.reactivations_per_month),
                "reactivations_per_month acts when a machine activates again",
            ),
            (
                differs(&|now, then| now.learn_drift != then.learn_drift),
                "learn_drift acts after heartbeats that are warned of fingerprint_drift: it binds one component a day anew",
            ),
            (
                differs(&|now, then| {
                    (now.lease_max_seconds, now.lease_max_outstanding)
                        != (then.lease_max_seconds, then.lease_max_outstanding)
                }),
                "lease_max_seconds and lease_max_outstanding act when a lease is granted or renewed: those in force stay",
            ),
            (
                differs(&|now, then| now.release_silent_after != then.release_silent_after),
                "release_silent_after frees seats: an install that lost its own takes one again with its next call, \
                 where one is free, else it is over its license's seats from then on",
            ),
            (
                differs(&|now, then| now.judging.cadence != then.judging.cadence),
                "cadence changes when installs are to beat and how long their tokens live, and no state",
            ),
        ];
        notes.into_iter().filter(|(acts, _)| *acts).map(|(_, note)| note.to_owned()).collect()
    }
}
