//! A function: processes that answer one queue of events.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::process::{Child, Command};

use crate::queue::Queue;
use crate::runtime;
use crate::server::Server;

/// How long an event may take, its process's start included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why an event has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The process told an error: its description, JSON.
    Told(String),
    /// Nothing was said in time.
    Silence,
}

/// Gives a command the environment that Lambda gives a function's process; `api` is where the runtime interface is.
pub fn put_in_lambda(command: &mut Command, name: &str, api: &str) {
    command
        .env("AWS_LAMBDA_RUNTIME_API", api)
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("_HANDLER", "bootstrap");
}

/// A function and its processes, which are killed when this is dropped.
pub struct Function {
    queue: Arc<Queue>,
    processes: Vec<Child>,
    _api: Server,
}

impl Function {
    /// Starts processes by commands of one function (most have one: each more can answer another event at once).
    ///
    /// # Errors
    /// When one can't be started.
    pub async fn start(name: &str, commands: impl IntoIterator<Item = Command>) -> io::Result<Self> {
        let queue = Arc::new(Queue::new());
        let answering = queue.clone();
        let api = Server::start(move |request| runtime::serve(answering.clone(), request)).await?;
        let api_address = api.address.to_string();
        let start = |mut command: Command| {
            put_in_lambda(&mut command, name, &api_address);
            command.kill_on_drop(true).spawn()
        };
        let processes = commands.into_iter().map(start).collect::<io::Result<_>>()?;
        Ok(Self { queue, processes, _api: api })
    }

    /// Waits until every process has asked for an event once: its init phase is over.
    ///
    /// # Errors
    /// How the first process ended, if it did instead.
    pub async fn ready(&mut self) -> Result<(), ExitStatus> {
        let asked = self.queue.has_been_asked(self.processes.len() as u64);
        let ended = async {
            match self.processes.first_mut() {
                Some(process) => process.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = asked => Ok(()),
            Ok(status) = ended => Err(status),
        }
    }

    /// The first process's id, as long as it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.processes.first()?.id()
    }

    /// Has an event answered. Events wait until a process is free.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn invoke(&self, event: impl Into<Bytes>) -> Result<Bytes, Failure> {
        invoke(&self.queue, event.into()).await
    }

    pub(crate) fn queue(&self) -> Arc<Queue> {
        self.queue.clone()
    }
}

pub(crate) async fn invoke(queue: &Queue, event: Bytes) -> Result<Bytes, Failure> {
    static INVOKED: AtomicU64 = AtomicU64::new(0);
    let id = format!("00000000-0000-4000-8000-{:012x}", INVOKED.fetch_add(1, Ordering::Relaxed));
    match tokio::time::timeout(PATIENCE, queue.put(id, event)).await {
        Ok(Ok(Ok(answer))) => Ok(answer),
        Ok(Ok(Err(error))) => Err(Failure::Told(String::from_utf8_lossy(&error).into_owned())),
        Ok(Err(_)) | Err(_) => Err(Failure::Silence),
    }
}
