//! An operator's site: a database, a key-encryption key, and the server processes over them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lambda_emulator::{Function, Url};
use protocol::LicenseKey;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use store::testing::TestDatabase;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::connection::Connection;

/// The `iss` of everything signed: no server is there, so that nobody takes it for an address.
pub(crate) const ISSUER: &str = "http://license.test";

/// What the licenses are for.
pub(crate) const PRODUCT: &str = "acme-render";

/// How long a program may take to start, and to stop.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A program of the project's: from `QT_BIN_DIR`, else beside this test's folder.
pub(crate) fn program(name: &str) -> Command {
    let beside = || {
        let this = std::env::current_exe().unwrap();
        this.parent().and_then(Path::parent).expect("a test runs in target/<profile>/deps").to_owned()
    };
    let path = std::env::var_os("QT_BIN_DIR").map_or_else(beside, PathBuf::from).join(name);
    assert!(path.is_file(), "{} isn't there: cargo build --workspace --bins", path.display());
    let mut command = Command::new(path);
    // What whoever runs the tests has set is no part of them.
    for (name, _) in std::env::vars_os() {
        if ["QT_", "AWS_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A database and a key-encryption key; programs that have both.
pub(crate) struct Site {
    folder: TempDir,
    /// The database; its clock turns nothing here.
    pub(crate) database: TestDatabase,
    /// The public half of the root key, as agents are given it.
    pub(crate) root_key: String,
    /// Settings of this site alone, which come before the others.
    pub(crate) besides: Vec<(&'static str, String)>,
}

impl Site {
    /// A site over a database of its own on the tests' server.
    pub(crate) async fn new() -> Self {
        Self::over(TestDatabase::empty().await).await
    }

    /// A site over an empty database.
    pub(crate) async fn over(database: TestDatabase) -> Self {
        let mut site = Self::bare(database);
        let made = site.operate(&["init"]).await;
        made["root_public_key"].as_str().unwrap().clone_into(&mut site.root_key);
        site
    }

    /// A site without keys, whose database may not even be migrated.
    pub(crate) fn bare(database: TestDatabase) -> Self {
        Self { folder: TempDir::new().unwrap(), database, root_key: String::new(), besides: Vec::new() }
    }

    /// The folder of the site's files and logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file of the key-encryption key.
    pub(crate) fn kek_file(&self) -> PathBuf {
        self.folder().join("kek")
    }

    /// The operator's program, with the settings that all its commands share.
    pub(crate) fn operator(&self) -> Command {
        let mut command = self.with_settings(program("qubictether"));
        command.env("QT_LISTEN", "127.0.0.1:0");
        command
    }

    fn with_settings(&self, mut command: Command) -> Command {
        command.envs(self.settings());
        command
    }

    /// The settings of whatever serves this site.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("QT_DATABASE_URL", self.database.url.clone()),
            ("QT_KEK_FILE", self.kek_file().to_str().unwrap().to_owned()),
            ("QT_PUBLIC_URL", ISSUER.to_owned()),
            ("QT_LOG", "trace".to_owned()),
            // All come from one address here.
            ("QT_ACTIVATIONS_PER_ADDRESS", "1000/s burst 1000000".to_owned()),
        ];
        settings.extend(self.besides.clone());
        settings
    }

    /// What a command of the operator's says in JSON.
    pub(crate) async fn operate<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Value {
        let output = timeout(PATIENCE, self.operator().args(arguments).arg("--json").output()).await;
        let output = output.expect("it ends").unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{:?}: {said}",
            arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>()
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A license of so many seats, under a profile of its own with these knobs.
    pub(crate) async fn license(&self, knobs: &str, max_installs: u32) -> LicenseKey {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("profile-{}", MADE.fetch_add(1, Ordering::Relaxed));
        let profile = self.operate(&["profile", "create", "--name", &name, "--knobs", knobs]).await;
        let profile = profile["id"].as_str().unwrap();
        let seats = max_installs.to_string();
        let terms = [
            "--product",
            PRODUCT,
            "--customer",
            "Example",
            "--profile-id",
            profile,
            "--max-installs",
            &seats,
        ];
        let license = self.operate(&[&["license", "create"], &terms[..]].concat()).await;
        LicenseKey::parse(license["license_key"].as_str().unwrap()).unwrap()
    }

    /// Starts a server process, on any free port.
    pub(crate) async fn serve(&self) -> Server {
        self.start(&mut self.operator()).await
    }

    /// Starts a server process at an address, where one may have been before.
    pub(crate) async fn serve_at(&self, address: SocketAddr) -> Server {
        self.start(self.operator().env("QT_LISTEN", address.to_string())).await
    }

    /// Starts a server process that was set up, and waits until it says that it listens.
    pub(crate) async fn start(&self, operator: &mut Command) -> Server {
        self.started(operator.arg("serve")).await
    }

    /// Starts a program that serves, and waits until it says that it listens.
    pub(crate) async fn started(&self, operator: &mut Command) -> Server {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let log = self.folder().join(format!("server-{}.log", STARTED.fetch_add(1, Ordering::Relaxed)));
        operator.stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = operator.spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let started = timeout(PATIENCE, output.read_line(&mut line)).await;
        let said = || fs::read_to_string(&log).unwrap_or_default();
        assert!(matches!(started, Ok(Ok(1..))), "the server didn't start: {}", said());
        let hello: Value = serde_json::from_str(&line).unwrap();
        let url = hello["listening"].as_str().unwrap().to_owned();
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        Server { child, url, address }
    }

    /// A Lambda function's command, with the settings that all of them share.
    pub(crate) fn function(&self, name: &str) -> Command {
        let mut command = self.with_settings(program(name));
        command.stderr(self.log());
        command
    }

    /// Starts the Lambda functions, a process each.
    pub(crate) async fn functions(&self) -> Functions {
        Functions::start(|name| self.function(name)).await
    }

    /// A file for what a process logs.
    fn log(&self) -> File {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("process-{}.log", STARTED.fetch_add(1, Ordering::Relaxed));
        File::create(self.folder().join(name)).unwrap()
    }

    /// Everything that the site's server processes have logged.
    pub(crate) fn logs(&self) -> String {
        let entries = fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().path());
        let logs = entries.filter(|path| path.extension() == Some(OsStr::new("log")));
        logs.map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

/// The functions of a site as Lambda would run them, each behind its URL, and all behind one origin.
pub(crate) struct Functions {
    pub(crate) heartbeat: Function,
    pub(crate) lease: Function,
    pub(crate) auth: Function,
    pub(crate) admin: Function,
    origin: Url,
}

impl Functions {
    /// Starts them, and waits until each has asked for an event.
    pub(crate) async fn start(command: impl Fn(&str) -> Command) -> Self {
        let start = async |name: &str| {
            let mut function = Function::start(name, [command(name)]).await.unwrap();
            timeout(PATIENCE, function.ready()).await.expect("it starts").expect("it doesn't end");
            function
        };
        let (heartbeat, lease) = (start("heartbeat").await, start("lease").await);
        let (auth, admin) = (start("auth").await, start("admin").await);
        let paths =
            [("/v1/heartbeat", &heartbeat), ("/v1/leases", &lease), ("/v1/admin", &admin), ("/", &auth)];
        let origin = Url::open(&paths).await.unwrap();
        Self { heartbeat, lease, auth, admin, origin }
    }

    /// Every one of them.
    pub(crate) fn all(&self) -> [&Function; 4] {
        [&self.heartbeat, &self.lease, &self.auth, &self.admin]
    }

    /// A connection to the origin that has every function's paths.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.origin.address()).await
    }
}

/// An address for a server that comes back: below the ports that operating systems give to outgoing connections. Of
/// those a client that calls a killed server can be given the very same one, and connect to itself.
pub(crate) fn fixed_address() -> SocketAddr {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let free = |address: &SocketAddr| std::net::TcpListener::bind(address).is_ok();
    let next = || {
        let number = std::process::id().wrapping_mul(61).wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
        SocketAddr::from(([127, 0, 0, 1], 12_000 + u16::try_from(number % 8_000).unwrap()))
    };
    std::iter::repeat_with(next).find(free).unwrap()
}

/// A server process. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    /// Its base URL.
    pub(crate) url: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends SIGTERM, and doesn't wait.
    pub(crate) fn ask_to_end(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// How it ends by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child).await
    }
}

/// Sends SIGTERM, and waits for the end.
pub(crate) async fn terminate(child: &mut Child) -> ExitStatus {
    signal(child, Signal::TERM);
    ended(child).await
}

/// How a program ends by itself.
pub(crate) async fn ended(child: &mut Child) -> ExitStatus {
    timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap()
}

fn signal(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| Pid::from_raw(id.try_into().unwrap())).expect("it runs");
    kill_process(id, signal).unwrap();
}
