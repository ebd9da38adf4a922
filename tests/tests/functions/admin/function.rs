//! The admin function's own binary, run as Lambda runs it, in the place of the router in this process.
//!
//! `QT_ADMIN_FUNCTION` chooses it: every call of the admin API then goes over a function URL to a process over the test's
//! database, whose wall clock is the test's: Debian's `faketime` answers for libc. Everything else stays in this process:
//! agents' calls, and what the tests look at directly.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use edge::testing::{Answer, TestEdge};
use http::Request;
use http::header::{HOST, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use lambda_emulator::{Function, Url};
use store::testing::{ISSUER, KEK};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// Longer than a process takes to start, and than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The function, as soon as somebody calls it.
#[derive(Default)]
pub(crate) struct AdminFunction(OnceCell<Running>);

struct Running {
    folder: TempDir,
    _function: Function,
    url: Url,
}

/// Whether the admin API is called at its Lambda binary.
pub(crate) fn is_chosen() -> bool {
    std::env::var_os("QT_ADMIN_FUNCTION").is_some()
}

impl AdminFunction {
    /// Sends a request at the time of `server`, whose database and settings the function has.
    pub(crate) async fn send(&self, server: &TestEdge, request: Request<Body>) -> Answer {
        let running = self.0.get_or_init(|| Running::start(server)).await;
        running.turn_to(server.edge.now());
        timeout(PATIENCE, running.exchange(request)).await.expect("an answer in time")
    }
}

impl Running {
    async fn start(server: &TestEdge) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("kek");
        fs::write(&key, KEK).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let settings = &server.edge.settings;
        let mut command = Command::new(program());
        command.env_clear().env("QT_KEK_FILE", key).env("QT_PUBLIC_URL", ISSUER).env("QT_LOG", "error");
        command.env("QT_DATABASE_URL", &settings.database_url);
        if settings.webhook_private_targets {
            command.env("QT_WEBHOOK_PRIVATE_TARGETS", "allow");
        }
        // The wall clock alone: what is waited for is waited for in true time.
        command.env("LD_PRELOAD", faketime()).env("FAKETIME_TIMESTAMP_FILE", clock(&folder));
        command
            .env("FAKETIME_FMT", "%s")
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        turn(&folder, server.edge.now());
        let mut function = Function::start("admin", [command]).await.unwrap();
        timeout(PATIENCE, function.ready()).await.expect("it starts").expect("it doesn't end");
        let url = Url::open(&[("/", &function)]).await.unwrap();
        Self { folder, _function: function, url }
    }

    fn turn_to(&self, now: i64) {
        turn(&self.folder, now);
    }

    async fn exchange(&self, request: Request<Body>) -> Answer {
        let (mut parts, body) = request.into_parts();
        let host = HeaderValue::from_str(&self.url.address().to_string()).unwrap();
        parts.headers.insert(HOST, host);
        let body = body.collect().await.unwrap().to_bytes();
        let stream = TcpStream::connect(self.url.address()).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

fn clock(folder: &TempDir) -> PathBuf {
    folder.path().join("clock")
}

/// Says what time it is, in one step: the process may be reading.
fn turn(folder: &TempDir, now: i64) {
    let next = folder.path().join("clock.next");
    fs::write(&next, now.to_string()).unwrap();
    fs::rename(next, clock(folder)).unwrap();
}

/// The binary, beside the tests or where `QT_BIN_DIR` says.
fn program() -> PathBuf {
    let beside = || {
        let this = std::env::current_exe().unwrap();
        this.parent().and_then(Path::parent).expect("a test runs in target/<profile>/deps").to_owned()
    };
    let path = std::env::var_os("QT_BIN_DIR").map_or_else(beside, PathBuf::from).join("admin");
    assert!(path.is_file(), "{} isn't there: cargo build --package admin", path.display());
    path
}

/// The library that answers for libc, wherever this architecture's are.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists()).expect("faketime is missing: run `cargo xtask setup`")
}
