//! Everything that differs from one operating system to another.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    path::Path,
};

#[cfg(target_os = "linux")]
mod clock {
    use rustix::time::{ClockId, clock_gettime};

    /// `CLOCK_BOOTTIME` in milliseconds: it counts through sleep. Asked of the kernel, not of libc, which a library
    /// that is loaded before it can impersonate.
    pub(crate) fn monotonic_ms() -> i64 {
        let now = clock_gettime(ClockId::Boottime);
        now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
    }

    /// What the kernel calls this start of the machine.
    pub(crate) fn boot_id() -> Option<String> {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().filter(|id| !id.trim().is_empty())
    }
}

#[cfg(not(target_os = "linux"))]
mod clock {
    use std::{sync::OnceLock, time::Instant};

    /// Milliseconds since this process asked first: every process counts as a start of the machine.
    pub(crate) fn monotonic_ms() -> i64 {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        i64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Nothing is asked: see [`monotonic_ms`].
    pub(crate) fn boot_id() -> Option<String> {
        None
    }
}

pub(crate) use clock::{boot_id, monotonic_ms};

#[cfg(unix)]
mod system {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};

    use tokio::{
        net::{UnixListener, UnixStream},
        signal::unix::{SignalKind, signal},
    };

    use super::{DirBuilder, OpenOptions, Path, fs, io};

    /// Makes the folder, for its owner only.
    pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        DirBuilder::new().mode(0o700).create(path)
    }

    /// Whether only the owner can look into the folder.
    pub(crate) fn is_private(path: &Path) -> io::Result<bool> {
        const OTHERS: u32 = 0o077;
        Ok(fs::metadata(path)?.mode() & OTHERS == 0)
    }

    /// Closes a folder to everyone but its owner.
    pub(crate) fn make_private(path: &Path) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    }

    /// How a file that only its owner can read is opened.
    pub(crate) fn private_file() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.mode(0o600);
        options
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    /// Whether this process may do everything.
    pub fn is_superuser() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// A Unix socket that only its owner can reach; one that an earlier process left behind is replaced.
    pub(crate) struct Listener(UnixListener);

    impl Listener {
        pub(crate) fn bind(path: &Path) -> io::Result<Option<Self>> {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            Ok(Some(Self(listener)))
        }

        pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
            self.0.accept().await.map(|(stream, _)| stream)
        }
    }

    /// Resolves when the process is asked to end: SIGTERM or SIGINT.
    pub async fn terminated() -> io::Result<()> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        Ok(())
    }
}

#[cfg(not(unix))]
mod system {
    use super::{DirBuilder, OpenOptions, Path, io};

    /// Makes the folder; who may read it is inherited from where it is.
    pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).create(path)
    }

    /// Access lists aren't looked at.
    pub(crate) fn is_private(_: &Path) -> io::Result<bool> {
        Ok(true)
    }

    /// Access lists aren't changed.
    pub(crate) fn make_private(_: &Path) -> io::Result<()> {
        Ok(())
    }

    /// How a file is opened.
    pub(crate) fn private_file() -> OpenOptions {
        OpenOptions::new()
    }

    /// Folders can't be synchronised here.
    pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Not asked here.
    pub fn is_superuser() -> bool {
        false
    }

    /// There is no Unix socket here: nothing is served.
    pub(crate) enum Listener {}

    impl Listener {
        pub(crate) fn bind(_: &Path) -> io::Result<Option<Self>> {
            Ok(None)
        }

        pub(crate) async fn accept(&self) -> io::Result<tokio::net::TcpStream> {
            match *self {}
        }
    }

    /// Resolves when the process is asked to end: Ctrl-C.
    pub async fn terminated() -> io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}

pub(crate) use system::{
    Listener, create_private_folder, is_private, make_private, private_file, sync_folder,
};
pub use system::{is_superuser, terminated};
