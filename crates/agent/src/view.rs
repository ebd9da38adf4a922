use std::{path::PathBuf, sync::Arc};

use protocol::{Fingerprint, response::CompactJose};

use crate::{
    Error,
    clock::{Clocks, Reading},
    core::{Core, Record, RecordError},
    fingerprint,
    folder::{Folder, RECORD},
    settings::Settings,
    status::Status,
};

/// What a state folder says, without a lock and without the network.
pub(crate) struct View {
    pub(crate) settings: Settings,
    pub(crate) folder: Folder,
    pub(crate) clocks: Arc<dyn Clocks>,
    /// Where the machine's files are.
    pub(crate) machine: PathBuf,
}

impl View {
    /// Reads and verifies what is kept.
    pub(crate) fn load(&self) -> Result<Core, Error> {
        let Some(record) = self.folder.read::<Record>(RECORD)? else { return Ok(Core::new(&self.settings)) };
        let file: PathBuf = self.folder.path_of(RECORD);
        Core::open(record, &self.settings).map_err(|error| match error {
            RecordError::Foreign => Error::Foreign { file },
            RecordError::Corrupt(why) => Error::Corrupt { file, why },
        })
    }

    /// What holds now.
    pub(crate) fn status(&self) -> Result<Status, Error> {
        self.load().map(|core| self.status_of(&core, &self.clocks.read()))
    }

    /// What holds at a reading. A machine that shows nothing is none that a lease could be for.
    pub(crate) fn status_of(&self, core: &Core, reading: &Reading) -> Status {
        Status::of(core, reading, || self.fingerprint().ok())
    }

    /// What the machine shows of itself now.
    pub(crate) fn fingerprint(&self) -> Result<Fingerprint, Error> {
        let Settings { fingerprint, product, .. } = &self.settings;
        fingerprint::observe(fingerprint, &self.machine, product)
    }

    /// The newest verified token.
    pub(crate) fn token(&self) -> Result<Option<CompactJose>, Error> {
        self.load().map(|core| core.install().map(|install| install.token.clone()))
    }
}
