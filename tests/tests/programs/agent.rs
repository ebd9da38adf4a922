//! The agent's program in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use protocol::{LicenseKey, Secret};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::site::{ISSUER, PATIENCE, PRODUCT, Server, Site, program};

/// What a command of the agent's came to.
#[derive(Debug)]
pub(crate) struct Said {
    /// The exit status.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    pub(crate) error: String,
}

impl Said {
    /// What holds, by the last line of the output.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(self.output.lines().last().unwrap_or_default())
            .unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The exit status, the state and the reason.
    pub(crate) fn word(&self) -> String {
        let status = self.status();
        let word = |name: &str| status[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", self.code.unwrap_or(-1), word("state"), word("reason"))
    }
}

/// An agent's state folder.
pub(crate) struct Agent {
    state: PathBuf,
}

impl Agent {
    /// Activates an agent on this machine.
    pub(crate) async fn activate(site: &Site, server: &Server, key: &LicenseKey, fingerprint: &str) -> Self {
        Self::activate_at(site, &server.url, key, fingerprint).await
    }

    /// Activates an agent on this machine, at a base URL.
    pub(crate) async fn activate_at(site: &Site, url: &str, key: &LicenseKey, fingerprint: &str) -> Self {
        let agent = Self { state: site.folder().join("agent") };
        let said = agent.ask_to_activate(site, url, key, fingerprint).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        agent
    }

    /// Activates in the folder as it is.
    pub(crate) async fn activate_again(
        &self,
        site: &Site,
        server: &Server,
        key: &LicenseKey,
        fingerprint: &str,
    ) -> Said {
        self.ask_to_activate(site, &server.url, key, fingerprint).await
    }

    async fn ask_to_activate(&self, site: &Site, url: &str, key: &LicenseKey, fingerprint: &str) -> Said {
        let mut command = self.command("activate");
        command.args(["--server", url, "--issuer", ISSUER, "--product", PRODUCT, "--root-key"]);
        command.args([&site.root_key, "--fingerprint", fingerprint, "--license-key-file", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that ends without reading it says why by its exit status.
        let _unread = child.stdin.take().unwrap().write_all(key.printed().as_bytes()).await;
        said(child).await
    }

    /// An agent of a machine that is never online: `lease request`, with a license key, and what it writes.
    pub(crate) async fn request(
        site: &Site,
        key: &LicenseKey,
        fingerprint: &str,
        file: &Path,
    ) -> (Self, Said) {
        let agent = Self { state: site.folder().join("agent") };
        let mut command = agent.command("lease");
        command.arg("request").arg(file).args(["--issuer", ISSUER, "--product", PRODUCT, "--root-key"]);
        command.args([&site.root_key, "--fingerprint", fingerprint, "--keep-key"]);
        command.env("QT_AGENT_LICENSE_KEY", &*key.printed()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let requested = said(command.spawn().unwrap()).await;
        (agent, requested)
    }

    /// A file of components that a vendor chose, for `--fingerprint`.
    pub(crate) fn fingerprint_file(site: &Site) -> String {
        let file = site.folder().join("fingerprint.json");
        fs::write(&file, r#"{"dongle": "4711", "site": "Hall 3", "host": "press-9"}"#).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// A copy of the folder, as a cloned machine has it.
    pub(crate) fn copied_to(&self, name: &str) -> Self {
        let copy = self.state.with_file_name(name);
        copy_folder(&self.state, &copy);
        Self { state: copy }
    }

    /// One of `beat`, `rekey`, `deactivate`.
    pub(crate) async fn does(&self, what: &str) -> Said {
        said(self.command(what).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).await
    }

    /// `beat`, to a server that it wasn't told of before.
    pub(crate) async fn beats_at(&self, server: &Server) -> Said {
        let mut command = self.command("beat");
        command.args(["--server", &server.url, "--issuer", ISSUER]);
        said(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).await
    }

    /// `lease …`
    pub(crate) async fn lease(&self, arguments: &[&str]) -> Said {
        let mut command = self.command("lease");
        said(command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).await
    }

    /// `status --json`
    pub(crate) async fn status(&self) -> Said {
        let mut command = self.command("status");
        said(command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).await
    }

    /// `run`
    pub(crate) fn run(&self) -> Running {
        let mut child = self.command("run").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }

    /// The newest of the secrets that it keeps.
    pub(crate) fn secret(&self) -> Secret {
        let record: Value =
            serde_json::from_slice(&fs::read(self.state.join("state.json")).unwrap()).unwrap();
        record["install"]["secrets"][0].as_str().unwrap().parse().unwrap()
    }

    fn command(&self, what: &str) -> Command {
        let mut command = program("qubictether-agent");
        command.arg(what).arg("--state").arg(&self.state);
        command
    }
}

async fn said(child: Child) -> Said {
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), output: text(output.stdout), error: text(output.stderr) }
}

/// `cp -a`: the files with their modes, nothing else.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// An agent that runs. It is killed when this is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// The next state other than `than` that it reports, with the reason.
    pub(crate) async fn next_other_than(&mut self, than: &str) -> String {
        let next = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("it runs");
                let status: Value = serde_json::from_str(&line).unwrap();
                let word = |name: &str| status[name].as_str().unwrap_or("-").to_owned();
                let word = format!("{} {}", word("state"), word("reason"));
                if word != than {
                    return word;
                }
            }
        };
        timeout(PATIENCE, next).await.unwrap_or_else(|_| panic!("{than} for {PATIENCE:?}"))
    }
}
