//! `POST /v1/leases`: for so long an install may work without being heard of.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use edge::contact::settle_seat;
use edge::envelope::parse_json;
use edge::judge::{judge, observe};
use edge::keys::Current;
use edge::lease;
use edge::proof::{self, Admitted, ProofRequest};
use edge::{Edge, Refusal, answer};
use http::StatusCode;
use policy::Decision;
use protocol::problem::Code;
use protocol::proof::Operation;
use protocol::request::LeaseRequest;
use protocol::response::LeaseResponse;
use store::{Audit, Contact, LockedLicense, Outcome, Subject};

/// How often an install may change under a request before that is put off.
const ATTEMPTS: usize = 5;

pub(crate) async fn grant(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Refusal> {
    let request = ProofRequest::read(request).await?;
    for _ in 0..ATTEMPTS {
        if let Some(granted) = attempt(&edge, &request).await? {
            return granted.map(|granted| answer::json(StatusCode::CREATED, &granted));
        }
    }
    Err(Refusal::unavailable())
}

/// Tries once. `None`: the install has changed meanwhile, and nothing was written.
async fn attempt(
    edge: &Edge,
    request: &ProofRequest,
) -> Result<Option<Result<LeaseResponse, Refusal>>, Refusal> {
    let now = edge.now();
    let keys = edge.keys.current(edge).await?;
    let subject = edge.store.load_subjects(&[request.install()]).await?.pop();
    let (asked, mut admitted) = admit(edge, subject.as_ref(), request, now)?;
    let Some(mut subject) = subject else { return Err(Refusal::invalid_proof()) };
    if subject.has_open_seat(now) {
        settle_seat(edge, &mut subject, now).await?;
        (_, admitted) = admit(edge, Some(&subject), request, now)?;
    }
    subject.enter(&admitted, now);
    observe(&mut subject, &asked.heartbeat, now);
    let mut connection = edge.store.connection().await?;
    let license = edge.store.lock_license(&mut connection, subject.license_id).await?;
    let judged = decide(edge, &keys, &license, &mut subject, &admitted, asked.duration_seconds, now).await?;
    let audit = Audit {
        at: now,
        operation: "lease",
        outcome: judged.outcome,
        counter: admitted.counter().value(),
        decision: judged.decision,
        clock_skew: subject.clock_skew,
    };
    let committed = license.commit(Contact { subject, audit: vec![audit] }).await?;
    if committed {
        edge.metrics.decided(&judged.decision);
        edge.metrics.leased(judged.word);
    }
    Ok(committed.then_some(judged.answer))
}

/// What has to hold before a request is judged, in the protocol's order.
fn admit(
    edge: &Edge,
    subject: Option<&Subject>,
    request: &ProofRequest,
    now: i64,
) -> Result<(LeaseRequest, Admitted), Refusal> {
    let proven = request.prove(subject, &Operation::Lease, now)?;
    let body = parse_json(request.content_type.as_ref(), &request.body)?;
    let asked = LeaseRequest::read(&body).map_err(Refusal::invalid)?;
    Ok((asked, proof::admit(proven, subject.ok_or_else(Refusal::invalid_proof)?, edge)?))
}

/// What a request came to.
struct Judged {
    decision: Decision,
    outcome: Outcome,
    /// For the measurements: `granted`, or why not.
    word: &'static str,
    answer: Result<LeaseResponse, Refusal>,
}

/// Grants a lease, or says why not.
async fn decide(
    edge: &Edge,
    keys: &Current,
    license: &LockedLicense<'_>,
    subject: &mut Subject,
    admitted: &Admitted,
    asked: i64,
    now: i64,
) -> Result<Judged, Refusal> {
    let decision = judge(subject, now).decision;
    if admitted.is_fork() || subject.revoked_at.is_some() {
        let outcome = if admitted.is_fork() { Outcome::Clone } else { Outcome::Refused };
        let refusal = Refusal::new(Code::Forbidden, "This install may not have a lease.");
        return Ok(Judged { decision, outcome, word: Code::Forbidden.as_str(), answer: Err(refusal) });
    }
    let besides = license.on_lease_besides(subject.id, now).await?;
    let seconds = match lease::seconds(subject, &decision, asked, besides, now) {
        Ok(seconds) => seconds,
        Err(reason) => {
            let answer = Err(Refusal::lease(reason));
            return Ok(Judged { decision, outcome: Outcome::Refused, word: reason, answer });
        }
    };
    let counter = admitted.counter().value();
    let granted = lease::grant(edge, keys, subject, seconds, counter, admitted.secret(), now);
    let answer = LeaseResponse {
        lease_id: granted.id,
        artifact: granted.artifact,
        expires_at: granted.ends_at,
        server_time: now,
    };
    let decision = granted.judgement.decision;
    Ok(Judged { decision, outcome: Outcome::Accepted, word: "granted", answer: Ok(answer) })
}
