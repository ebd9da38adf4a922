//! Lanes: heartbeats that wait together are loaded, judged and committed together, in two round trips.
//!
//! A lane takes whatever waits, at once: a lone heartbeat goes alone. While the database works on one batch the next
//! one gathers, so batches grow with the load and nothing is held back for company.
//!
//! INVARIANT(order): an install's heartbeats go by one lane, so they are judged in the order in which they came.
//! INVARIANT(commit): an accepted heartbeat is answered only after its commit.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::sync::Arc;

use edge::proof::ProofRequest;
use edge::{Edge, Refusal};
use protocol::InstallId;
use protocol::response::DecisionResponse;
use store::{Contact, Subject};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::beat::{self, Beat};

/// The most heartbeats in a batch.
const BATCH: usize = 512;

/// After so many judgements, some milliseconds, whatever else waits for the processor has its turn: what is refused for want
/// of a place shouldn't wait for a whole batch.
const SLICE: usize = 64;

/// How often an install may change under a heartbeat before that is put off.
const ATTEMPTS: usize = 5;

type Answer = Result<DecisionResponse, Refusal>;

/// A heartbeat that waits for its judgement, and its place in the queue.
struct Waiting {
    request: ProofRequest,
    answer: oneshot::Sender<Answer>,
    _place: OwnedSemaphorePermit,
}

impl Waiting {
    /// Answers it. Whoever asked may have gone.
    fn answer(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

/// The lanes' entrance.
pub(crate) struct Lanes {
    lanes: Vec<mpsc::UnboundedSender<Waiting>>,
    places: Arc<Semaphore>,
}

impl Lanes {
    /// Starts the lanes as tasks, which end with the last sender.
    pub(crate) fn start(edge: &Arc<Edge>) -> Self {
        let count = lanes();
        let lane = |_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(run(edge.clone(), receiver));
            sender
        };
        Self { lanes: (0..count).map(lane).collect(), places: Arc::new(Semaphore::new(edge.settings.queue)) }
    }

    /// Has a heartbeat judged.
    ///
    /// # Errors
    /// Whatever it is refused with; 503 at once, before any cryptography or database work, when the queue is full.
    pub(crate) async fn judge(&self, request: ProofRequest) -> Answer {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Refusal::overloaded())?;
        let lane = usize::from(request.install().as_uuid().as_bytes()[15]) % self.lanes.len();
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { request, answer, _place: place };
        self.lanes[lane].send(waiting).map_err(|_| Refusal::unavailable())?;
        answered.await.unwrap_or_else(|_| Err(Refusal::unavailable()))
    }
}

/// How many batches are under way at once: while one waits for the disk another is judged. More of them than processors
/// would only make batches smaller, and each batch costs the planning of its two statements.
fn lanes() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get).clamp(2, 8)
}

async fn run(edge: Arc<Edge>, mut lane: mpsc::UnboundedReceiver<Waiting>) {
    let mut batch = Vec::new();
    while lane.recv_many(&mut batch, BATCH).await > 0 {
        edge.metrics.batched(batch.len());
        judge_together(&edge, std::mem::take(&mut batch)).await;
    }
}

/// Judges a batch, and again what has changed in the database since it was read.
async fn judge_together(edge: &Edge, mut batch: Vec<Waiting>) {
    for _ in 0..ATTEMPTS {
        if batch.is_empty() {
            return;
        }
        batch = attempt(edge, batch).await;
    }
    for waiting in batch {
        waiting.answer(Err(Refusal::unavailable()));
    }
}

/// Judges a batch once. Returns what has to be judged again.
async fn attempt(edge: &Edge, batch: Vec<Waiting>) -> Vec<Waiting> {
    let mut ids: Vec<InstallId> = batch.iter().map(|waiting| waiting.request.install()).collect();
    ids.sort_unstable();
    ids.dedup();
    let (subjects, keys) = match load(edge, &ids).await {
        Ok(loaded) => loaded,
        Err(refusal) => {
            refuse(batch, &refusal);
            return Vec::new();
        }
    };
    let mut subjects: HashMap<InstallId, Beat> =
        subjects.into_iter().map(|subject| (subject.id, Beat::new(subject))).collect();
    let mut judged = Vec::new();
    for (number, waiting) in batch.into_iter().enumerate() {
        if number % SLICE == SLICE - 1 {
            tokio::task::yield_now().await;
        }
        let beat = subjects.get_mut(&waiting.request.install());
        match beat::judge(edge, &keys, beat, &waiting.request).await {
            Ok(decision) => judged.push((waiting, decision)),
            Err(refusal) => waiting.answer(Err(refusal)),
        }
    }
    let mut contacts: Vec<Contact> = subjects.into_values().filter_map(Beat::into_contact).collect();
    // Whoever wants several of them, too, rarely has what this wants then, and wants what this has.
    contacts.sort_unstable_by_key(|contact| contact.subject.id);
    commit(edge, &contacts, judged).await
}

async fn load(edge: &Edge, ids: &[InstallId]) -> Result<(Vec<Subject>, Arc<edge::keys::Current>), Refusal> {
    let keys = edge.keys.current(edge).await?;
    Ok((edge.store.load_subjects(ids).await?, keys))
}

/// Commits what was judged and answers it. Returns what has to be judged again.
async fn commit(edge: &Edge, contacts: &[Contact], judged: Vec<(Waiting, DecisionResponse)>) -> Vec<Waiting> {
    if contacts.is_empty() {
        return Vec::new();
    }
    let written = match edge.store.commit_contacts(contacts).await {
        Ok(written) => written,
        Err(error) => {
            refuse(judged.into_iter().map(|(waiting, _)| waiting).collect(), &error.into());
            return Vec::new();
        }
    };
    let written: HashSet<InstallId> = written.into_iter().collect();
    let is_written = |id: InstallId| written.contains(&id);
    for contact in contacts.iter().filter(|contact| is_written(contact.subject.id)) {
        contact.audit.iter().for_each(|audit| edge.metrics.decided(&audit.decision));
    }
    let mut again = Vec::new();
    for (waiting, decision) in judged {
        if is_written(waiting.request.install()) {
            waiting.answer(Ok(decision));
        } else {
            again.push(waiting);
        }
    }
    again
}

fn refuse(batch: Vec<Waiting>, refusal: &Refusal) {
    for waiting in batch {
        waiting.answer(Err(refusal.clone()));
    }
}
