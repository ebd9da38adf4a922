//! What processes have used, by proc(5).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::error::Error;

/// Ticks of `/proc/<id>/stat` in a second: a constant of Linux's interface (`USER_HZ`), whatever the kernel's own.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process, or one with all its children.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Process {
    /// Alone.
    One(u32),
    /// With its children, those that have ended too.
    Family(u32),
}

impl Process {
    /// The postmaster of a cluster and its children.
    pub(crate) fn postgresql(cluster: &cluster::Cluster) -> Result<Self, Error> {
        let path = cluster.folder().join("data/postmaster.pid");
        let text = fs::read_to_string(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        let id = text.lines().next().and_then(|line| line.parse().ok());
        let ended = || Error::Program { name: "postgres".to_owned(), what: "has ended".to_owned() };
        id.map(Self::Family).ok_or_else(ended)
    }

    /// Seconds of processor time that it has used.
    pub(crate) fn cpu_seconds(self) -> Result<f64, Error> {
        let ticks: u64 = match self {
            Self::One(id) => Stat::read(id)?.own_ticks,
            Self::Family(id) => {
                let parent = Stat::read(id)?;
                let living = children(id)?.into_iter().map(|child| child.own_ticks);
                parent.own_ticks + parent.ended_childrens_ticks + living.sum::<u64>()
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "2^52 ticks are a million years")]
        let ticks = ticks as f64;
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// Bytes of memory. Of one process the most that was ever resident; of a family what is now, each shared page
    /// counted once.
    pub(crate) fn memory_bytes(self) -> Result<u64, Error> {
        match self {
            Self::One(id) => kilobytes(id, "status", "VmHWM:"),
            Self::Family(id) => {
                let family = children(id)?.into_iter().map(|child| child.id).chain([id]);
                // One that has ended since has no memory.
                Ok(family.filter_map(|id| kilobytes(id, "smaps_rollup", "Pss:").ok()).sum())
            }
        }
    }
}

/// What is read of `/proc/<id>/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    id: u32,
    parent: u32,
    own_ticks: u64,
    ended_childrens_ticks: u64,
}

impl Stat {
    fn read(id: u32) -> Result<Self, Error> {
        let path = file(id, "stat");
        let text = fs::read_to_string(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        Self::parse(&text).ok_or_else(|| unreadable(path))
    }

    /// `id (name) state parent …`, where the name may hold anything; utime, stime, cutime and cstime are the fields
    /// 14 to 17.
    fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.split_once(' ')?;
        let (_, rest) = rest.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            id: id.parse().ok()?,
            parent: number(4)?.try_into().ok()?,
            own_ticks: number(14)? + number(15)?,
            ended_childrens_ticks: number(16)? + number(17)?,
        })
    }
}

fn children(parent: u32) -> Result<Vec<Stat>, Error> {
    let proc = Path::new("/proc");
    let entries = fs::read_dir(proc).map_err(|source| Error::File { path: proc.to_owned(), source })?;
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(ids.filter_map(|id| Stat::read(id).ok()).filter(|stat| stat.parent == parent).collect())
}

fn kilobytes(id: u32, name: &str, key: &str) -> Result<u64, Error> {
    let path = file(id, name);
    let text = fs::read_to_string(&path).map_err(|source| Error::File { path: path.clone(), source })?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| unreadable(path))
}

fn file(id: u32, name: &str) -> PathBuf {
    Path::new("/proc").join(id.to_string()).join(name)
}

fn unreadable(path: PathBuf) -> Error {
    Error::File { path, source: io::ErrorKind::InvalidData.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_confuses_nobody() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 250 50 3 4 20 0 1 0 99";
        let stat = Stat { id: 42, parent: 7, own_ticks: 300, ended_childrens_ticks: 7 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("42 (a) S 7 42"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let this = std::process::id();
        assert!(Process::One(this).memory_bytes().unwrap() > 1 << 20);
        assert!(Process::Family(this).memory_bytes().unwrap() > 1 << 20);
        assert!(Process::Family(this).cpu_seconds().unwrap() >= 0.0);
    }
}
