//! The server under test: the operator's program, as an operator runs it.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::output;
use crate::error::Error;

/// How long the server may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// Activations come from one address, at once.
const UNBOUNDED: &str = "1000/s burst 1000000";

/// The operator's program and the settings that all its commands share.
#[derive(Debug)]
pub(crate) struct Operator {
    program: PathBuf,
    database_url: String,
    folder: PathBuf,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Its base URL.
    pub(crate) url: String,
    /// From its start to its first connection.
    pub(crate) start_up: Duration,
}

impl Operator {
    /// Finds the program beside this one.
    pub(crate) fn find(database_url: String, folder: &Path) -> Result<Self, Error> {
        let program = env::current_exe()?.with_file_name("qubictether");
        if !program.is_file() {
            let message = format!("{} isn't there: build it in the same profile", program.display());
            return Err(Error::Usage(message));
        }
        Ok(Self { program, database_url, folder: folder.to_owned() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("QT_DATABASE_URL", &self.database_url).env("QT_KEK_FILE", self.kek_file());
        command.env("QT_LISTEN", "127.0.0.1:0");
        for limit in ["QT_ACTIVATIONS_PER_ADDRESS", "QT_ACTIVATIONS_PER_KEY"] {
            command.env(limit, UNBOUNDED);
        }
        command
    }

    /// Makes the keys, a profile, and licenses that hold so many installs each. Gives the license keys.
    pub(crate) async fn set_up(&self, licenses: usize, max_installs: usize) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Made {
            license_key: String,
        }
        output(self.command().args(["init", "--json"])).await?;
        output(self.command().args(["profile", "create", "--name", "bench", "--json"])).await?;
        let mut keys = Vec::with_capacity(licenses);
        for _ in 0..licenses {
            let mut command = self.command();
            command.args(["license", "create", "--product", "bench", "--customer", "bench", "--json"]);
            let text = output(command.args(["--max-installs", &max_installs.to_string()])).await?;
            keys.push(self.read::<Made>(&text)?.license_key);
        }
        Ok(keys)
    }

    /// Makes an API key that may do everything.
    pub(crate) async fn api_key(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Made {
            api_key: String,
        }
        let mut command = self.command();
        let text = output(command.args(["api-key", "create", "--role", "owner", "--json"])).await?;
        Ok(self.read::<Made>(&text)?.api_key)
    }

    /// The file of the key-encryption key.
    pub(crate) fn kek_file(&self) -> PathBuf {
        self.folder.join("kek")
    }

    /// Where the server's database is.
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Starts the server; its log goes to a file.
    pub(crate) async fn serve(&self) -> Result<Server, Error> {
        #[derive(Deserialize)]
        struct Started {
            listening: String,
        }
        let path = self.folder.join("server.log");
        let log = File::create(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        let begin = Instant::now();
        let mut command = self.command();
        command.arg("serve").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was asked for");
        let started = timeout(PATIENCE, BufReader::new(stdout).read_line(&mut line)).await;
        let start_up = begin.elapsed();
        match started {
            Ok(Ok(1..)) => {
                let Started { listening } = self.read(&line)?;
                Ok(Server { child, url: listening, start_up })
            }
            _ => Err(self.failed(std::fs::read_to_string(&path).unwrap_or_default())),
        }
    }

    fn read<'a, T: Deserialize<'a>>(&self, text: &'a str) -> Result<T, Error> {
        serde_json::from_str(text).map_err(|error| self.failed(format!("{error} in {text}")))
    }

    fn failed(&self, what: String) -> Error {
        Error::Program { name: self.program.display().to_string(), what }
    }
}

impl Server {
    /// Its process.
    pub(crate) fn id(&self) -> Result<u32, Error> {
        let ended = || Error::Program { name: "qubictether serve".to_owned(), what: "has ended".to_owned() };
        self.child.id().ok_or_else(ended)
    }

    /// Ends it as an operator does.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        let id = self.id()?;
        // The shell's own `kill`: a program of that name isn't on every machine.
        output(Command::new("/bin/sh").args(["-c", "kill -s TERM \"$1\"", "sh", &id.to_string()])).await?;
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            ended => Err(Error::Program { name: "qubictether serve".to_owned(), what: format!("{ended:?}") }),
        }
    }
}
