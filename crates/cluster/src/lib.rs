//! A private PostgreSQL in a folder of its own: made, started, stopped, killed.
//!
//! It listens on 127.0.0.1 alone and wants a password (SCRAM) that only its owner can read, so that nobody else on a
//! shared machine gets in. As root it runs as the account `postgres`, since PostgreSQL refuses to run as root.
//!
//! ```no_run
//! let mut cluster = cluster::Cluster::create_or_open("/var/tmp/my-cluster", cluster::Options::durable())?;
//! cluster.start()?;
//! println!("{}", cluster.url("postgres"));
//! # Ok::<(), cluster::Error>(())
//! ```

mod account;
mod config;
mod error;
mod guard;
mod options;
mod processes;

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{self, Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

pub use config::programs;
pub use error::Error;
pub use options::Options;

use account::Account;
use error::io_error;
use guard::Guard;

/// The role that owns everything.
const SUPERUSER: &str = "postgres";

/// Where free ports are looked for: below what operating systems give to outgoing connections. A client that tries
/// to reach a killed server on a port of that range can be given the very same port, and connect to itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A PostgreSQL server and its folder. Dropping it stops the server, unless [`leave_running`](Self::leave_running)
/// says otherwise; so does the end of the process, whatever the cause.
pub struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    account: Account,
    options: Options,
    password: String,
    /// Chosen at the first start.
    port: u16,
    /// There from the first start on.
    guard: Option<Guard>,
    temporary: bool,
    /// Held as long as this is, so that no other process opens the same folder.
    _lock: File,
}

impl Cluster {
    /// Makes a cluster in a folder that is empty or doesn't exist, or opens the one that is there. It isn't started.
    ///
    /// # Errors
    /// Each says what is missing and what to do.
    pub fn create_or_open(folder: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let programs = programs()?;
        let account = Account::find()?;
        let folder = path::absolute(folder.as_ref()).map_err(io_error("find", folder.as_ref()))?;
        make_folder(&folder, account)?;
        let lock = lock(&folder)?;
        let password = password(&folder.join("password"), account)?;
        let cluster = Self {
            folder,
            programs,
            account,
            options,
            password,
            port: 0,
            guard: None,
            temporary: false,
            _lock: lock,
        };
        if !cluster.data().exists() {
            cluster.init()?;
        }
        Ok(cluster)
    }

    /// Makes a cluster in a new folder among the system's temporary ones, which goes when this is dropped.
    ///
    /// # Errors
    /// As [`create_or_open`](Self::create_or_open).
    pub fn temporary(options: Options) -> Result<Self, Error> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("qubictether-{}-{number}", process::id()));
        // Made here, and refused if somebody else made it before: the name can be guessed.
        DirBuilder::new().mode(0o700).create(&folder).map_err(io_error("make", &folder))?;
        match Self::create_or_open(&folder, options) {
            Ok(mut cluster) => {
                cluster.temporary = true;
                Ok(cluster)
            }
            Err(error) => {
                // Nothing is in it that anybody could miss, and the error is the one to tell of.
                let _ = fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    /// Starts the server and waits until it answers. One that runs already (left by another process) goes on, or
    /// starts anew where its settings are others.
    ///
    /// # Errors
    /// When it doesn't come up within a minute; with the end of its log.
    pub fn start(&mut self) -> Result<(), Error> {
        let running = self.is_running()?;
        if self.port == 0 {
            self.port = self.choose_port(running)?;
        }
        let (file, text) = (self.data().join("cluster.conf"), self.options.file(self.port));
        let unchanged = fs::read_to_string(&file).is_ok_and(|old| old == text);
        if running && !unchanged {
            self.pg_ctl("stop", &["--mode=fast"])?;
        }
        fs::write(&file, text).map_err(io_error("write", &file))?;
        self.account.give(&file)?;
        if self.guard.is_none() {
            let remove = self.temporary.then_some(self.folder.as_path());
            self.guard =
                Some(Guard::post(self.account, &self.programs.join("pg_ctl"), &self.data(), remove)?);
        }
        if running && unchanged {
            return Ok(());
        }
        let log = self.log();
        self.pg_ctl("start", &["--log", &log.to_string_lossy()]).map_err(|error| with_log(error, &log))
    }

    /// Stops the server: whoever is connected is cut off, what was committed is kept.
    ///
    /// # Errors
    /// When it doesn't end within a minute.
    pub fn stop(&mut self) -> Result<(), Error> {
        if self.is_running()? {
            self.pg_ctl("stop", &["--mode=fast"])?;
        }
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
        Ok(())
    }

    /// Kills the server and all its processes by SIGKILL, as a crash would. [`start`](Self::start) recovers it, on
    /// the same port.
    ///
    /// # Errors
    /// When it didn't run, or can't be killed.
    pub fn kill(&mut self) -> Result<(), Error> {
        let file = self.data().join("postmaster.pid");
        let text = fs::read_to_string(&file).map_err(io_error("read", &file))?;
        let id = text.lines().next().and_then(|line| line.trim().parse().ok());
        processes::kill_family(id.ok_or(Error::StillRunning)?)?;
        // Where nobody collects dead orphans, as in many a container, the next start would take them for living.
        fs::remove_file(&file).map_err(io_error("remove", &file))
    }

    /// Stops and starts it, on the same port.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        self.start()
    }

    /// Whether the server runs.
    ///
    /// # Errors
    /// When `pg_ctl` can't be run.
    pub fn is_running(&self) -> Result<bool, Error> {
        let mut command = self.command("pg_ctl");
        command.args(["status", "--pgdata"]).arg(self.data()).stdin(Stdio::null());
        let output = command.output().map_err(io_error("run", self.programs.join("pg_ctl")))?;
        Ok(output.status.success())
    }

    /// Lets go of a server without stopping it. Of a temporary cluster the folder stays, too.
    pub fn leave_running(mut self) {
        self.temporary = false;
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
    }

    /// The URL of a database for the superuser, password included; of use once the server was started.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A client of PostgreSQL's (`psql`, `pg_restore`), as the superuser on a database. The password goes by the
    /// environment: arguments can be read by everybody on the machine.
    #[must_use]
    pub fn client(&self, program: &str, database: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .env("PGHOST", Ipv4Addr::LOCALHOST.to_string())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", SUPERUSER)
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", database);
        command
    }

    /// The port on 127.0.0.1; 0 before the first start.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The cluster's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn init(&self) -> Result<(), Error> {
        // Under another name until it is whole, so that an interrupted one is never taken for a cluster.
        let draft = self.folder.join("data-draft");
        if draft.exists() {
            fs::remove_dir_all(&draft).map_err(io_error("remove", &draft))?;
        }
        let mut command = self.command("initdb");
        command.arg("--pgdata").arg(&draft).arg("--pwfile").arg(self.folder.join("password"));
        command.args(["--username", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        if !self.options.durable {
            command.arg("--no-sync");
        }
        run(command, "making a PostgreSQL cluster")?;
        let settings = draft.join("postgresql.conf");
        let mut file =
            OpenOptions::new().append(true).open(&settings).map_err(io_error("open", &settings))?;
        file.write_all(b"include_if_exists = 'cluster.conf'\n").map_err(io_error("write", &settings))?;
        fs::rename(&draft, self.data()).map_err(io_error("rename", &draft))
    }

    /// The port asked for, else that of the last time if it is free (or this cluster's own server has it), else any.
    fn choose_port(&self, running: bool) -> Result<u16, Error> {
        if let Some(port) = self.options.port {
            return Ok(port);
        }
        let settings = fs::read_to_string(self.data().join("cluster.conf")).unwrap_or_default();
        let last = settings.lines().find_map(|line| line.strip_prefix("port = ")?.parse().ok());
        let last = last.filter(|&port| running || is_free(port));
        last.or_else(free_port).ok_or(Error::NoPort)
    }

    fn pg_ctl(&self, action: &'static str, more: &[&str]) -> Result<(), Error> {
        let mut command = self.command("pg_ctl");
        command.args([action, "--wait", "--silent", "--timeout=60", "--pgdata"]).arg(self.data()).args(more);
        run(command, if action == "start" { "starting PostgreSQL" } else { "stopping PostgreSQL" })
    }

    fn command(&self, program: &str) -> Command {
        self.account.command(&self.programs.join(program))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, port, options, .. } = self;
        let mut all = formatter.debug_struct("Cluster");
        all.field("folder", folder).field("port", port).field("options", options).finish_non_exhaustive()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // What fails here was said nowhere and can't be: the guard and the next start see to the rest.
        if self.guard.is_some() {
            let _ = self.stop();
        }
        if self.temporary {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Sees that the folder is there, the account's own, and closed to everybody else.
fn make_folder(folder: &Path, account: Account) -> Result<(), Error> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(io_error("make", parent))?;
    }
    account.check_reach(folder)?;
    if !folder.exists() {
        DirBuilder::new().mode(0o700).create(folder).map_err(io_error("make", folder))?;
    }
    let mut entries = fs::read_dir(folder).map_err(io_error("list", folder))?;
    if entries.next().is_some() && !folder.join("lock").exists() {
        return Err(Error::NotACluster { folder: folder.to_owned() });
    }
    account.give(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(io_error("close", folder))
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(io_error("make", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", path)(source)),
    }
}

/// The superuser's password, made at the first time.
fn password(path: &Path, account: Account) -> Result<String, Error> {
    if let Ok(text) = fs::read_to_string(path)
        && text.len() == 32
    {
        return Ok(text);
    }
    let mut bytes = [0; 16];
    let source = Path::new("/dev/urandom");
    let read = File::open(source).and_then(|mut random| random.read_exact(&mut bytes));
    read.map_err(io_error("read", source))?;
    let text = format!("{:032x}", u128::from_be_bytes(bytes));
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(io_error("write", path))?;
    account.give(path)?;
    Ok(text)
}

fn free_port() -> Option<u16> {
    static LOOKED_AT: AtomicU32 = AtomicU32::new(0);
    // A port is taken only later, by the server: so no two threads look at the same, and processes begin apart.
    let count = u32::from(PORTS.end - PORTS.start);
    (0..count).find_map(|_| {
        let number =
            process::id().wrapping_mul(61).wrapping_add(LOOKED_AT.fetch_add(1, Ordering::Relaxed)) % count;
        u16::try_from(number).ok().map(|number| PORTS.start + number).filter(|&port| is_free(port))
    })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn run(mut command: Command, action: &'static str) -> Result<(), Error> {
    let program = PathBuf::from(command.get_program());
    let output = command.stdin(Stdio::null()).output().map_err(io_error("run", program))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    Err(Error::Failed { action, output: String::from_utf8_lossy(&said).trim().to_owned() })
}

/// Adds the end of the server's log, where the cause of a failed start stands.
fn with_log(error: Error, log: &Path) -> Error {
    let Error::Failed { action, output } = error else { return error };
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(5)..].join("\n");
    Error::Failed { action, output: format!("{output}\n{end}") }
}
