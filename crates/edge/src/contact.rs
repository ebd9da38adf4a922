//! A request with a proof that is judged by itself: everything but heartbeats, which go many at a time.

use axum::extract::Request;
use protocol::proof::Operation;
use protocol::request::EmptyRequest;
use store::{Audit, Contact, Outcome, Subject};

use crate::envelope::parse_json;
use crate::judge::judge;
use crate::proof::{self, Admitted, ProofRequest};
use crate::{Edge, Refusal};

/// How often an install may change under a request before that is put off.
const ATTEMPTS: usize = 5;

/// What a request came to: what the audit log says, and what the caller is told.
pub type Done<T> = (Outcome, Result<T, Refusal>);

/// Reads a request that takes no body (or `{}`), checks its proof, its counter and its rate, lets `act` change the
/// install, and commits. A refusal by `act` is committed too: the request was judged.
///
/// # Errors
/// Whatever the request is refused with.
pub async fn judge_alone<T>(
    edge: &Edge,
    request: Request,
    operation: Operation,
    act: impl Fn(&mut Subject, &Admitted, i64) -> Done<T>,
) -> Result<T, Refusal> {
    judge_where(edge, request, operation, |_, _, _| Ok(()), act).await
}

/// Judges a request alone, as [`judge_alone`] does, where `exists` finds what it is about; else it isn't judged.
///
/// # Errors
/// Whatever the request is refused with.
pub async fn judge_where<T>(
    edge: &Edge,
    request: Request,
    operation: Operation,
    exists: impl Fn(&Subject, &Admitted, i64) -> Result<(), Refusal>,
    act: impl Fn(&mut Subject, &Admitted, i64) -> Done<T>,
) -> Result<T, Refusal> {
    let request = ProofRequest::read(request).await?;
    for _ in 0..ATTEMPTS {
        let now = edge.now();
        let subject = edge.store.load_subjects(&[request.install()]).await?.pop();
        let mut admitted = admit(edge, subject.as_ref(), &request, &operation, now)?;
        let Some(mut subject) = subject else { return Err(Refusal::invalid_proof()) };
        if subject.has_open_seat(now) {
            settle_seat(edge, &mut subject, now).await?;
            admitted = admit(edge, Some(&subject), &request, &operation, now)?;
        }
        exists(&subject, &admitted, now)?;
        subject.enter(&admitted, now);
        let (outcome, result) = act(&mut subject, &admitted, now);
        let audit = Audit {
            at: now,
            operation: operation.as_str(),
            outcome,
            counter: admitted.counter().value(),
            decision: judge(&subject, now).decision,
            clock_skew: None,
        };
        let contact = Contact { subject, audit: vec![audit] };
        if !edge.store.commit_contacts(&[contact]).await?.is_empty() {
            return result;
        }
    }
    Err(Refusal::unavailable())
}

/// What has to hold before a request is judged, in the protocol's order.
fn admit(
    edge: &Edge,
    subject: Option<&Subject>,
    request: &ProofRequest,
    operation: &Operation,
    now: i64,
) -> Result<Admitted, Refusal> {
    let proven = request.prove(subject, operation, now)?;
    if !request.body.is_empty() {
        EmptyRequest::read(&parse_json(request.content_type.as_ref(), &request.body)?)
            .map_err(Refusal::invalid)?;
    }
    proof::admit(proven, subject.ok_or_else(Refusal::invalid_proof)?, edge)
}

/// Gives an install that calls the seat that it should hold, before the call itself renews what silence had released.
/// The install is read again, so what was admitted has to be admitted again.
///
/// # Errors
/// When the database isn't available, or the install is gone.
pub async fn settle_seat(edge: &Edge, subject: &mut Subject, now: i64) -> Result<(), Refusal> {
    edge.store.settle_seat(subject, now).await?;
    *subject = edge.store.load_subjects(&[subject.id]).await?.pop().ok_or_else(Refusal::invalid_proof)?;
    Ok(())
}
