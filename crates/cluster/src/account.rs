//! As whom PostgreSQL runs: as the caller, or as the account `postgres` where the caller is root.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use crate::{Error, error::io_error};

/// The account to change to; nothing when the caller isn't root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account(Option<Ids>);

#[derive(Clone, Copy, Debug)]
struct Ids {
    user: u32,
    group: u32,
}

impl Account {
    /// Finds it.
    pub(crate) fn find() -> Result<Self, Error> {
        // A process's own folder belongs to its effective user.
        let own = Path::new("/proc/self");
        if fs::metadata(own).map_err(io_error("look at", own))?.uid() != 0 {
            return Ok(Self(None));
        }
        let path = Path::new("/etc/passwd");
        let accounts = fs::read_to_string(path).map_err(io_error("read", path))?;
        accounts.lines().find_map(postgres).map(|ids| Self(Some(ids))).ok_or(Error::NoAccount)
    }

    /// A command that runs as this account, from a folder that everybody can be in.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env("LC_ALL", "C").env_remove("PGDATA").env_remove("PGPORT");
        if let Self(Some(Ids { user, group })) = self {
            command.uid(user).gid(group);
        }
        command
    }

    /// Gives it a file or folder.
    pub(crate) fn give(self, path: &Path) -> Result<(), Error> {
        let Self(Some(Ids { user, group })) = self else { return Ok(()) };
        chown(path, Some(user), Some(group)).map_err(io_error("give to `postgres`", path))
    }

    /// Sees that it can pass through every parent of an absolute path.
    pub(crate) fn check_reach(self, path: &Path) -> Result<(), Error> {
        let Self(Some(ids)) = self else { return Ok(()) };
        for parent in path.ancestors().skip(1) {
            let metadata = fs::metadata(parent).map_err(io_error("look at", parent))?;
            if !ids.may_pass(metadata.uid(), metadata.gid(), metadata.mode()) {
                return Err(Error::NotTraversable { folder: parent.to_owned() });
            }
        }
        Ok(())
    }
}

impl Ids {
    /// The kernel's rule for the search permission of a folder: the owner's bit, else the group's, else the others'.
    fn may_pass(self, owner: u32, group: u32, mode: u32) -> bool {
        let shift = match () {
            () if owner == self.user => 6,
            () if group == self.group => 3,
            () => 0,
        };
        (mode >> shift) & 1 == 1
    }
}

/// The ids of a line of `/etc/passwd`, when it is the account's: `name:password:user:group:…`.
fn postgres(line: &str) -> Option<Ids> {
    let mut fields = line.split(':');
    if fields.next() != Some("postgres") {
        return None;
    }
    Some(Ids { user: fields.nth(1)?.parse().ok()?, group: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_of_postgres_is_its_own() {
        let ids =
            postgres("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash").unwrap();
        assert_eq!((ids.user, ids.group), (101, 104));
        for other in [
            "postgresql:x:1:1::/:/bin/sh",
            "root:x:0:0:root:/root:/bin/bash",
            "postgres:x",
            "postgres:x:a:b",
            "",
        ] {
            assert!(postgres(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_folder_is_passed_by_the_most_particular_bit() {
        let ids = Ids { user: 101, group: 104 };
        assert!(ids.may_pass(0, 0, 0o755));
        assert!(!ids.may_pass(0, 0, 0o700));
        assert!(ids.may_pass(101, 0, 0o700));
        assert!(!ids.may_pass(101, 104, 0o077), "the owner's own bit counts, whatever the others may");
        assert!(ids.may_pass(0, 104, 0o710));
        assert!(!ids.may_pass(0, 104, 0o701));
    }
}
