//! Several installs of a license at once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::json::Reader;
use crate::{BatchId, InstallId};

/// How many installs are named at most.
const MOST: usize = 1_000;

/// Which of a license's installs something is done to: `POST /v1/admin/licenses/{id}/installs/suspend`, and the like.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChosenInstalls {
    /// These, each once; left out: all that it can be done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 1000, nullable = false))]
    pub install_ids: Option<Vec<InstallId>>,
}

impl ChosenInstalls {
    /// Reads a body.
    pub fn read(root: Reader<'_>) -> Option<Self> {
        Some(Self { install_ids: root.member("install_ids").or_missing(ids)? })
    }
}

fn ids(value: Reader<'_>) -> Option<Vec<InstallId>> {
    let elements = value.elements()?;
    if !(1..=MOST).contains(&elements.len()) {
        return value.fail(format_args!("1 to {MOST} ids"));
    }
    let mut seen = BTreeSet::new();
    let read = elements.map(|one| {
        let id = one.parse()?;
        if seen.insert(id) { Some(id) } else { one.fail("an id that doesn't stand there already") }
    });
    // All are read, so that all that is wrong is told.
    let read: Vec<Option<InstallId>> = read.collect();
    read.into_iter().collect()
}

/// What came of doing something to several installs: all of it, or a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangedInstalls {
    /// How many it changed.
    pub changed: usize,
    /// How many were that already.
    pub unchanged: usize,
    /// What the audit log's rows of those that it changed have in common, as `after.batch_id`.
    pub batch_id: BatchId,
}
