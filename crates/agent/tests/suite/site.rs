//! A server on this machine, and the program on another one's state folder.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::server::{ISSUER, LICENSE_KEY, PRODUCT, Server};

/// A server on this machine, and a machine's state folder.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    pub(crate) server: Arc<Server>,
    pub(crate) url: String,
    _runtime: tokio::runtime::Runtime,
}

impl Site {
    pub(crate) fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = Arc::new(Server::new());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answering = server.clone();
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answering = answering.clone();
                let service = service_fn(move |request| answer(answering.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("components.json"), r#"{"dongle": "17"}"#).unwrap();
        fs::write(folder.path().join("license.txt"), format!("{LICENSE_KEY}\n")).unwrap();
        Self { folder, server, url, _runtime: runtime }
    }

    pub(crate) fn activated() -> Self {
        let site = Self::new();
        assert_eq!(
            site.activate(&["--license-key-file", &site.path("license.txt")], "").status.code(),
            Some(0)
        );
        site
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).into_os_string().into_string().unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("state").join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qubictether-agent"));
        command.env_clear().args(arguments).env("QT_AGENT_STATE", self.path("state"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The arguments of an activation, without the license key.
    fn settings(&self) -> Vec<String> {
        let root_key = self.server.books().root.public().to_string();
        let settings =
            ["activate", "--server", &self.url, "--issuer", ISSUER, "--product", PRODUCT, "--root-key"];
        let settings = settings.into_iter().chain([&*root_key, "--fingerprint"]).map(str::to_owned);
        settings.chain([self.path("components.json")]).collect()
    }

    /// The arguments of an activation with the license key's file.
    pub(crate) fn activation(&self) -> Vec<String> {
        let key = ["--license-key-file".to_owned(), self.path("license.txt")];
        self.settings().into_iter().chain(key).collect()
    }

    pub(crate) fn activate(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(&[]);
        command.args(self.settings()).args(arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        // A program that ends without reading it says why by its exit status.
        let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Starts a run, and gives its lines as they come.
    pub(crate) fn start(&self, arguments: &[&str]) -> (Child, impl FnMut() -> Value + use<>) {
        let mut child = self.command(arguments).spawn().unwrap();
        let lines = Self::lines(&mut child);
        (child, lines)
    }

    /// The lines of a run as they come.
    pub(crate) fn lines(child: &mut Child) -> impl FnMut() -> Value + use<> {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        move || serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap()
    }
}

async fn answer(
    server: Arc<Server>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let authorization = head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let request = qubictether_agent::transport::Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        authorization,
        body: (!body.is_empty()).then(|| body.to_vec().into()),
    };
    let answer = server.answer(&request).unwrap_or_default();
    let body = Full::new(Bytes::from(answer.body.to_vec()));
    Ok(Response::builder().status(if answer.status == 0 { 500 } else { answer.status }).body(body).unwrap())
}

pub(crate) fn json(output: &Output) -> Value {
    let text = str::from_utf8(&output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

/// The one line on standard error.
pub(crate) fn said(output: &Output) -> &str {
    let text = str::from_utf8(&output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

pub(crate) fn terminate(mut child: Child) -> Option<i32> {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    child.wait().unwrap().code()
}
