//! Events that wait for a process, and those that wait for an answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};

/// What a process made of an event: its answer, or its error's description.
pub(crate) type Outcome = Result<Bytes, Bytes>;

/// An event under its request id.
pub(crate) type Invocation = (String, Bytes);

/// One queue of a function's, for all its processes.
pub(crate) struct Queue {
    sender: mpsc::UnboundedSender<Invocation>,
    receiver: AsyncMutex<mpsc::UnboundedReceiver<Invocation>>,
    awaited: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    /// How often a process has asked for an event.
    asked: watch::Sender<u64>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (asked, _) = watch::channel(0);
        Self { sender, receiver: AsyncMutex::new(receiver), awaited: Mutex::default(), asked }
    }

    /// Puts an event in; what comes of it is received.
    pub(crate) fn put(&self, id: String, event: Bytes) -> oneshot::Receiver<Outcome> {
        let (answer, answered) = oneshot::channel();
        self.awaited().insert(id.clone(), answer);
        // The receiver lives as long as this.
        let _ = self.sender.send((id, event));
        answered
    }

    /// The next event, when there is one. Who stops waiting takes none.
    pub(crate) async fn next(&self) -> Invocation {
        self.asked.send_modify(|asked| *asked += 1);
        self.receiver.lock().await.recv().await.expect("the sender lives as long as the receiver")
    }

    /// Waits until processes have asked so many times.
    pub(crate) async fn has_been_asked(&self, times: u64) {
        let mut asked = self.asked.subscribe();
        asked.wait_for(|asked| *asked >= times).await.expect("the sender lives as long as this");
    }

    /// Whether somebody waited for this.
    pub(crate) fn answer(&self, id: &str, outcome: Outcome) -> bool {
        let awaited = self.awaited().remove(id);
        awaited.is_some_and(|answer| answer.send(outcome).is_ok())
    }

    fn awaited(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Outcome>>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
