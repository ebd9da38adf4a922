//! The state folder: files that only their owner can read, each written as a whole or not at all.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use protocol::LicenseKey;
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{Error, platform, status::Status};

/// Whoever changes the folder holds a lock on this file, from before a counter is taken until its answer is kept.
const LOCK: &str = "lock";

/// Whoever runs the agent holds a lock on this file.
const RUN_LOCK: &str = "run.lock";

/// Longer than any attempt takes.
const LOCK_TIMEOUT: Duration = Duration::from_mins(3);

const LOCK_POLL: Duration = Duration::from_millis(25);

/// Longer files aren't an agent's.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// The name of a file of the folder that is JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Document(&'static str);

/// What an agent was told once.
pub(crate) const SETTINGS: Document = Document("settings.json");
/// What an agent keeps.
pub(crate) const RECORD: Document = Document("state.json");
/// An activation whose answer didn't come yet.
pub(crate) const ACTIVATION: Document = Document("activation.json");
/// What holds, for others to read.
const STATUS: &str = "status.json";

/// The license key, if it is kept.
const LICENSE_KEY: &str = "license.key";

/// A state folder. Reading needs no lock: what is there is whole.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder at a path, which needn't be there.
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where a document of it is.
    pub(crate) fn path_of(&self, Document(name): Document) -> PathBuf {
        self.0.join(name)
    }

    /// Makes the folder if it isn't there, and closes it to others if it is an agent's.
    pub(crate) fn create(&self) -> Result<(), Error> {
        match platform::create_private_folder(&self.0) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.close(),
            Err(error) => Err(failed("made", &self.0, error)),
        }
    }

    fn close(&self) -> Result<(), Error> {
        let failed = |error| failed("closed to others", &self.0, error);
        if platform::is_private(&self.0).map_err(failed)? {
            return Ok(());
        }
        let is_empty = fs::read_dir(&self.0).map_err(failed)?.next().is_none();
        if is_empty || self.path_of(RECORD).exists() {
            platform::make_private(&self.0).map_err(failed)
        } else {
            Err(Error::NotPrivate { folder: self.0.clone() })
        }
    }

    /// Reads a document, if it is there.
    pub(crate) fn read<T: DeserializeOwned>(&self, document: Document) -> Result<Option<T>, Error> {
        let Some(bytes) = self.read_bytes(document.0)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            // The error's own text may repeat a value, which may be a secret.
            .map_err(|error| Error::Corrupt {
                file: self.path_of(document),
                why: format!("line {}, column {} is not as described", error.line(), error.column()),
            })
    }

    /// Reads the license key, if it is kept.
    pub(crate) fn license_key(&self) -> Result<Option<LicenseKey>, Error> {
        let Some(bytes) = self.read_bytes(LICENSE_KEY)? else { return Ok(None) };
        let key = str::from_utf8(&bytes).ok().and_then(|text| LicenseKey::parse(text).ok());
        let corrupt =
            || Error::Corrupt { file: self.0.join(LICENSE_KEY), why: "it holds no license key".into() };
        key.ok_or_else(corrupt).map(Some)
    }

    fn read_bytes(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let path = self.0.join(name);
        let failed = |error| failed("read", &path, error);
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if length > MAX_FILE {
            return Err(Error::Corrupt { file: path, why: format!("it has {length} bytes") });
        }
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Waits until no other process changes the folder.
    pub(crate) async fn lock(&self) -> Result<Locked<'_>, Error> {
        let deadline = tokio::time::Instant::now() + LOCK_TIMEOUT;
        loop {
            if let Some(locked) = self.try_lock()? {
                return Ok(locked);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(Error::Busy { folder: self.0.clone() });
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    /// Locks the folder if no other process is changing it now.
    pub(crate) fn try_lock(&self) -> Result<Option<Locked<'_>>, Error> {
        Ok(self.try_lock_file(LOCK)?.map(|file| Locked { folder: self, _file: file }))
    }

    /// Takes the place of the one process that runs the agent; given up when the file is dropped.
    pub(crate) fn lock_run(&self) -> Result<File, Error> {
        self.try_lock_file(RUN_LOCK)?.ok_or_else(|| Error::Running { folder: self.0.clone() })
    }

    fn try_lock_file(&self, name: &str) -> Result<Option<File>, Error> {
        let path = self.0.join(name);
        let failed = |error| failed("locked", &path, error);
        let file =
            platform::private_file().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Folder { action, path: path.to_owned(), source }
}

/// Whether a file is on the disk when it was written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasting {
    Yes,
    No,
}

/// A state folder that no other process changes.
#[derive(Debug)]
pub(crate) struct Locked<'f> {
    folder: &'f Folder,
    _file: File,
}

impl Locked<'_> {
    /// Replaces a document. When this returns, it is on the disk.
    pub(crate) fn write(&self, document: Document, value: &impl Serialize) -> Result<(), Error> {
        let json = serde_json::to_vec(value).expect("documents are structs of plain values");
        self.write_bytes(document.0, &Zeroizing::new(json), Lasting::Yes)
    }

    /// Keeps a license key.
    pub(crate) fn write_license_key(&self, printed: &str) -> Result<(), Error> {
        self.write_bytes(LICENSE_KEY, printed.as_bytes(), Lasting::Yes)
    }

    /// Replaces what others read. It follows from the rest, so it needn't outlast a power cut.
    pub(crate) fn show(&self, status: &Status) -> Result<(), Error> {
        self.write_bytes(STATUS, status.to_string().as_bytes(), Lasting::No)
    }

    /// Writes beside the file, then puts it in its place: a crash leaves the old file or the new one. What it takes
    /// is a few milliseconds, and nothing may go on before it is done, so it doesn't wait on another thread.
    fn write_bytes(&self, name: &str, bytes: &[u8], lasting: Lasting) -> Result<(), Error> {
        let Folder(folder) = self.folder;
        let path = folder.join(name);
        let write = || -> io::Result<()> {
            let beside = folder.join(format!("{name}.new"));
            let mut file = platform::private_file().create(true).truncate(true).write(true).open(&beside)?;
            file.write_all(bytes)?;
            if lasting == Lasting::Yes {
                file.sync_all()?;
            }
            drop(file);
            fs::rename(&beside, &path)?;
            if lasting == Lasting::Yes { platform::sync_folder(folder) } else { Ok(()) }
        };
        write().map_err(|error| failed("written", &path, error))
    }

    /// Removes a document, if it is there.
    pub(crate) fn remove(&self, Document(name): Document) -> Result<(), Error> {
        self.remove_file(name)
    }

    /// Forgets the license key, if it is kept.
    pub(crate) fn remove_license_key(&self) -> Result<(), Error> {
        self.remove_file(LICENSE_KEY)
    }

    fn remove_file(&self, name: &str) -> Result<(), Error> {
        let path = self.folder.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removed", &path, error)),
            _ => Ok(()),
        }
    }
}
