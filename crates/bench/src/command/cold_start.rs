//! From the start of a Lambda binary to its first answer, beside a function that only says hello.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;
use cluster::{Cluster, Options};
use http::Request;
use lambda_emulator::{Function, event};
use serde::Serialize;
use tokio::process::Command;

use super::{print, progress};
use crate::{error::Error, heartbeat::output, process::Process};

/// What the others are compared with.
const HELLO: &str = "lambda-hello";

/// The same after it has read what every function has to read: what is left above it is the functions' own.
const HELLO_DATABASE: &str = "lambda-hello-database";

/// What that is, all in one message and without a condition.
const STATEMENTS: &str = "SELECT * FROM wrapped_keys; SELECT * FROM signing_keys; \
     SELECT * FROM keysets ORDER BY version DESC LIMIT 1";

/// What is measured: each a folder with `bootstrap` and `bootstrap.zip`.
const FUNCTIONS: [&str; 6] = [HELLO, HELLO_DATABASE, "heartbeat", "lease", "auth", "admin"];

#[derive(Debug, Args)]
pub(crate) struct ColdStartArgs {
    /// Folder of the functions' binaries and zips, as `cargo xtask build-lambda` makes them.
    #[arg(long, value_name = "FOLDER")]
    lambda_dir: PathBuf,
    /// How often each is started; all take turns.
    #[arg(long, default_value_t = 40)]
    rounds: usize,
}

/// One function's figures.
#[derive(Debug, Serialize)]
struct Figures {
    name: &'static str,
    /// Median from the start of the process to its first answer.
    first_answer_ms: f64,
    /// The same by that of the function that says hello.
    ratio: f64,
    /// And by that of the one that reads from the database before.
    ratio_to_database: f64,
    /// The most that was resident until then, median.
    memory_bytes: u64,
    zip_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    rounds: usize,
    functions: Vec<Figures>,
}

impl ColdStartArgs {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let mut cluster = Cluster::temporary(Options::throwaway())?;
        cluster.start()?;
        let kek = cluster.folder().with_extension("kek");
        let settings = [
            ("QT_DATABASE_URL", cluster.url("postgres")),
            ("QT_KEK_FILE", kek.display().to_string()),
            ("HELLO_STATEMENTS", STATEMENTS.to_owned()),
        ];
        let operator = env::current_exe()?.with_file_name("qubictether");
        let made = output(Command::new(operator).args(["init", "--json"]).envs(settings.clone())).await;
        let measured = match made {
            Ok(_) => self.measure(&settings).await,
            Err(error) => Err(error),
        };
        // Made for this alone; nobody misses it, and where it isn't there is nothing to remove.
        let _ = std::fs::remove_file(&kek);
        Ok(print(&measured?)?)
    }

    async fn measure(&self, settings: &[(&str, String)]) -> Result<Report, Error> {
        let mut samples = FUNCTIONS.map(|_| (Vec::new(), Vec::new()));
        for round in 0..=self.rounds {
            for (name, (times, memory)) in FUNCTIONS.iter().zip(&mut samples) {
                let (took, resident) = start(&self.lambda_dir.join(name).join("bootstrap"), settings).await?;
                // The first reads the files from the disk.
                if round > 0 {
                    times.push(took);
                    memory.push(resident);
                }
            }
            if round % 10 == 0 {
                progress(&format!("round {round} of {}", self.rounds));
            }
        }
        let medians = samples.map(|(times, memory)| (median(times), median(memory)));
        let [hello, database] = [medians[0], medians[1]].map(|(time, _)| time.as_secs_f64());
        let figures = FUNCTIONS.iter().zip(medians).map(|(name, (time, memory_bytes))| {
            let zip = self.lambda_dir.join(name).join("bootstrap.zip");
            let zip_bytes =
                std::fs::metadata(&zip).map_err(|source| Error::File { path: zip, source })?.len();
            let seconds = time.as_secs_f64();
            let (first_answer_ms, ratio, ratio_to_database) =
                (seconds * 1e3, seconds / hello, seconds / database);
            Ok(Figures { name, first_answer_ms, ratio, ratio_to_database, memory_bytes, zip_bytes })
        });
        Ok(Report { rounds: self.rounds, functions: figures.collect::<Result<_, Error>>()? })
    }
}

/// Starts a function and has one event answered: how long that took, and the most that was resident.
async fn start(binary: &Path, settings: &[(&str, String)]) -> Result<(Duration, u64), Error> {
    let mut command = Command::new(binary);
    command.env_clear().envs(settings.iter().map(|(name, value)| (*name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let request = Request::get("/healthz").header("host", "cold.example").body(Bytes::new());
    let event = event(&request.expect("a request"), "192.0.2.1").to_string();
    let begin = Instant::now();
    let function = Function::start("cold", [command]).await?;
    let answer = function.invoke(event).await;
    let took = begin.elapsed();
    let failed = |what: String| Error::Program { name: binary.display().to_string(), what };
    let answer = answer.map_err(|failure| failed(format!("{failure:?}")))?;
    if !answer.starts_with(br#"{"statusCode":200"#) {
        return Err(failed(String::from_utf8_lossy(&answer).into_owned()));
    }
    let id = function.process_id().ok_or_else(|| failed("has ended".to_owned()))?;
    Ok((took, Process::One(id).memory_bytes()?))
}

fn median<T: Ord + Copy>(mut samples: Vec<T>) -> T {
    samples.sort_unstable();
    samples[samples.len() / 2]
}
