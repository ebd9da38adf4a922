//! The schema's migrations: forward only, each in a transaction of its own, safe when several processes start at once.

use refinery::{Migration, Runner};

use crate::{Database, Error};

/// Every migration by file name, in order. A test holds this against the folder.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_create_keys", include_str!("../../../migrations/0001_create_keys.sql")),
    ("0002_create_profiles", include_str!("../../../migrations/0002_create_profiles.sql")),
    ("0003_create_licenses", include_str!("../../../migrations/0003_create_licenses.sql")),
    ("0004_create_installs", include_str!("../../../migrations/0004_create_installs.sql")),
    ("0005_create_heartbeats", include_str!("../../../migrations/0005_create_heartbeats.sql")),
    ("0006_create_activation_rates", include_str!("../../../migrations/0006_create_activation_rates.sql")),
    ("0007_index_licenses", include_str!("../../../migrations/0007_index_licenses.sql")),
    ("0008_create_leases", include_str!("../../../migrations/0008_create_leases.sql")),
    ("0009_rotate_wrapped_keys", include_str!("../../../migrations/0009_rotate_wrapped_keys.sql")),
    ("0010_version_key_lookups", include_str!("../../../migrations/0010_version_key_lookups.sql")),
    ("0011_create_restores", include_str!("../../../migrations/0011_create_restores.sql")),
    ("0012_create_users", include_str!("../../../migrations/0012_create_users.sql")),
    ("0013_create_api_keys", include_str!("../../../migrations/0013_create_api_keys.sql")),
    ("0014_create_admin_audit", include_str!("../../../migrations/0014_create_admin_audit.sql")),
    ("0015_create_idempotency_keys", include_str!("../../../migrations/0015_create_idempotency_keys.sql")),
    ("0016_create_install_states", include_str!("../../../migrations/0016_create_install_states.sql")),
    ("0017_create_heartbeat_counts", include_str!("../../../migrations/0017_create_heartbeat_counts.sql")),
    ("0018_index_searches", include_str!("../../../migrations/0018_index_searches.sql")),
    ("0019_stage_profiles", include_str!("../../../migrations/0019_stage_profiles.sql")),
    ("0020_create_hold", include_str!("../../../migrations/0020_create_hold.sql")),
    ("0021_create_imports", include_str!("../../../migrations/0021_create_imports.sql")),
    ("0022_create_webhooks", include_str!("../../../migrations/0022_create_webhooks.sql")),
    ("0023_index_pages", include_str!("../../../migrations/0023_index_pages.sql")),
    ("0024_note_silence", include_str!("../../../migrations/0024_note_silence.sql")),
    ("0025_index_audit_by_id", include_str!("../../../migrations/0025_index_audit_by_id.sql")),
];

/// Whoever migrates holds this advisory lock; the number means nothing.
const LOCK: &str = "7163127404521";

/// The library's name for a migration: `0001_create_keys` is its `V1__create_keys`.
fn migration(name: &str, sql: &str) -> Result<Migration, Error> {
    let (number, rest) = name.split_once('_').unwrap_or((name, ""));
    Migration::unapplied(&format!("V{}__{rest}", number.trim_start_matches('0')), sql)
        .map_err(|cause| Error::Migration(Box::new(cause)))
}

impl Database {
    /// Brings the schema up to this program's. Returns the names of what was applied now: none, when it was up to date
    /// or another process did it first.
    ///
    /// # Errors
    /// When the database isn't reachable, a migration fails (it is rolled back), or one that was applied has changed
    /// since.
    pub async fn migrate(&self) -> Result<Vec<String>, Error> {
        let migrations =
            MIGRATIONS.iter().map(|(name, sql)| migration(name, sql)).collect::<Result<Vec<_>, _>>()?;
        let mut client = self.client().await?;
        // The lock is the session's, and the session ends with the connection if we do.
        client
            .batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))
            .await
            .map_err(Error::from_connection)?;
        let ran = Runner::new(&migrations)
            .set_migration_table_name("schema_history")
            .run_async(&mut **client)
            .await
            .map_err(|cause| Error::Migration(Box::new(cause)));
        client
            .batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})"))
            .await
            .map_err(Error::from_connection)?;
        Ok(ran?.applied_migrations().iter().map(ToString::to_string).collect())
    }
}

/// Tells one schema from another, so that test templates are made anew when a migration is added.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn fingerprint() -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for (name, sql) in MIGRATIONS {
        hash.update(name);
        hash.update(sql);
    }
    let hash: [u8; 32] = hash.finalize().into();
    format!("{:032x}", u128::from_be_bytes(*hash.first_chunk().expect("32 bytes begin with 16")))
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    #[test]
    fn every_file_of_the_folder_is_listed_once_and_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".sql").map(str::to_owned))
            .collect();
        files.sort();
        assert_eq!(files, MIGRATIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }
}
