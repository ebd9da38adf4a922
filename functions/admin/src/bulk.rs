//! Something done to many installs of a license: to all of them, or to none.

use std::collections::BTreeMap;

use protocol::admin::{ChangedInstalls, Install, InstallStatus};
use protocol::problem::FieldError;
use protocol::{BatchId, InstallId, LicenseId};
use serde::Serialize;
use store::InstallAction;

use crate::error::Error;
use crate::install::{judged, name};
use crate::operator::{Operator, States};

/// How many installs are held in memory at once.
const STRIDE: usize = 500;

/// An install after it was changed with others.
#[derive(Serialize)]
struct Tied<'a> {
    #[serde(flatten)]
    install: &'a Install,
    batch_id: BatchId,
}

/// Does to installs of a license what [`install::act`](crate::install::act) does to one: to those that are named, or to
/// all that it can be done to. Their agents learn of it at their next beats. Done twice is done.
///
/// # Errors
/// When there is no such license, or with each named install that isn't the license's, or is revoked or deactivated
/// (revoking aside). Then nothing has changed.
pub async fn act(
    operator: &Operator<'_>,
    license: LicenseId,
    named: Option<&[InstallId]>,
    action: &InstallAction,
) -> Result<ChangedInstalls, Error> {
    let now = operator.store.clock().unix_seconds();
    let batch_id = BatchId::from_uuid(operator.store.new_id());
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let locked = change.lock_installs(license, named).await?;
    let locked = locked.ok_or_else(|| Error::not_found("license", &license))?;
    let refuses = |status: &InstallStatus| !matches!(action, InstallAction::Revoke) && status.is_over();
    if let Some(named) = named {
        let found: BTreeMap<_, _> = locked.iter().copied().collect();
        let why = |id: &InstallId| match found.get(id) {
            None => Some(format!("{id} is no install of this license")),
            Some(status) => {
                status.filter(refuses).map(|status| format!("{id} is {status}, and that is final"))
            }
        };
        let refused = |(index, id): (usize, &InstallId)| {
            Some(FieldError { pointer: format!("/install_ids/{index}"), detail: why(id)? })
        };
        let refused: Vec<_> = named.iter().enumerate().filter_map(refused).collect();
        if !refused.is_empty() {
            return Err(Error::Conflicts(refused));
        }
    }
    let can = |(id, status): (InstallId, Option<InstallStatus>)| {
        (!status.as_ref().is_some_and(refuses)).then_some(id)
    };
    let ids: Vec<InstallId> = locked.into_iter().filter_map(can).collect();
    let mut changed = 0;
    for some in ids.chunks(STRIDE) {
        let before = change.find_installs(some).await?;
        let moved = change.act_on_installs(some, action).await?;
        let after = change.find_installs(&moved).await?;
        let mut after: BTreeMap<_, _> = after.into_iter().map(|row| (row.subject.id, row)).collect();
        let mut rows = Vec::with_capacity(moved.len());
        for before in before {
            let Some(after) = after.remove(&before.subject.id) else { continue };
            let (before, after) = (judged(&before, now), judged(&after, now));
            let tied = Tied { install: &after, batch_id };
            rows.push(States::changed(&before, &tied)?.of(name(action), after.id));
        }
        if !rows.is_empty() {
            change.record_all(&operator.actor, &rows).await?;
        }
        changed += rows.len();
    }
    change.commit().await?;
    Ok(ChangedInstalls { changed, unchanged: ids.len() - changed, batch_id })
}
