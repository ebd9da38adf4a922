//! A database and its keys, opened by the settings.

use std::path::Path;
use std::sync::Arc;

use edge::open;
use keyring::LocalProvider;
use protocol::ambient::OsRandom;
use store::Store;

use crate::config::Flags;
use crate::error::Error;

/// What a command works with.
pub(crate) struct Site {
    pub(crate) store: Store,
}

impl Site {
    /// Opens what the settings name.
    pub(crate) async fn open(flags: &Flags) -> Result<Self, Error> {
        let settings = flags.settings()?;
        let database = edge::open::database(&settings, 2).await?;
        Ok(Self { store: open::store(database, open::provider(&settings.key_provider).await?).await? })
    }
}

/// Makes the file of the key-encryption key, unless it is there.
pub(crate) fn make_kek_file(file: &Path) -> Result<bool, Error> {
    if file.exists() {
        return Ok(false);
    }
    LocalProvider::create(file, protocol::ambient::array(&OsRandom), Arc::new(OsRandom))?;
    Ok(true)
}
