//! A place for a run's files.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use crate::error::Error;

/// Files of this run, gone with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("qubictether-bench-{}", process::id()));
        fs::create_dir(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        Ok(Self(path))
    }

    /// One within it.
    pub(crate) fn inner(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.0.join(name);
        fs::create_dir(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        Ok(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left among the temporary files harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
