//! One heartbeat: decode, admit, judge, sign.

use edge::contact::settle_seat;
use edge::envelope::parse_json;
use edge::judge::{judge as decide, learn_drift, observe, token};
use edge::keys::Current;
use edge::proof::{self, Admitted, ProofRequest};
use edge::{Edge, Refusal};
use protocol::proof::Operation;
use protocol::request::HeartbeatRequest;
use protocol::response::DecisionResponse;
use store::{Audit, Contact, Outcome, Subject};

/// An install under judgement: as it will be when what was judged so far is committed.
pub(crate) struct Beat {
    subject: Subject,
    audit: Vec<Audit>,
}

impl Beat {
    pub(crate) fn new(subject: Subject) -> Self {
        Self { subject, audit: Vec::new() }
    }

    /// What there is to commit, if anything was judged.
    pub(crate) fn into_contact(self) -> Option<Contact> {
        (!self.audit.is_empty()).then_some(Contact { subject: self.subject, audit: self.audit })
    }
}

/// Judges a heartbeat of an install, if there is such an install.
///
/// # Errors
/// Whatever it is refused with; then nothing of the install has changed.
pub(crate) async fn judge(
    edge: &Edge,
    keys: &Current,
    beat: Option<&mut Beat>,
    request: &ProofRequest,
) -> Result<DecisionResponse, Refusal> {
    let now = edge.now();
    let Some(Beat { subject, audit }) = beat else {
        request.prove(None, &Operation::Heartbeat, now)?;
        return Err(Refusal::invalid_proof());
    };
    let (heartbeat, mut admitted) = admit(edge, subject, request, now)?;
    // Seats are given under the license's lock, so what it holds is written first. An earlier heartbeat of this batch
    // has settled it already.
    if audit.is_empty() && subject.has_open_seat(now) {
        settle_seat(edge, subject, now).await?;
        (_, admitted) = admit(edge, subject, request, now)?;
    }
    subject.enter(&admitted, now);
    observe(subject, &heartbeat, now);
    let judgement = decide(subject, now);
    let token = token(edge, keys, subject, &judgement, admitted.nonce(), admitted.counter().value(), now);
    learn_drift(subject, &judgement.decision, now);
    audit.push(Audit {
        at: now,
        operation: "heartbeat",
        outcome: if admitted.is_fork() { Outcome::Clone } else { Outcome::Accepted },
        counter: admitted.counter().value(),
        decision: judgement.decision,
        clock_skew: subject.clock_skew,
    });
    Ok(DecisionResponse {
        state: judgement.decision.state,
        next_heartbeat_in: judgement.decision.next_heartbeat,
        server_time: now,
        token,
    })
}

/// What has to hold before a heartbeat is judged, in the protocol's order.
fn admit(
    edge: &Edge,
    subject: &Subject,
    request: &ProofRequest,
    now: i64,
) -> Result<(HeartbeatRequest, Admitted), Refusal> {
    let proven = request.prove(Some(subject), &Operation::Heartbeat, now)?;
    let body = parse_json(request.content_type.as_ref(), &request.body)?;
    let heartbeat = HeartbeatRequest::read(&body).map_err(Refusal::invalid)?;
    Ok((heartbeat, proof::admit(proven, subject, edge)?))
}
