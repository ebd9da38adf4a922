//! `POST /v1/leases/{lease_id}/return`: the lease ends early; its seat and its quota are free at once.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use edge::contact::judge_where;
use edge::judge::{judge, token};
use edge::{Edge, Refusal, answer};
use http::StatusCode;
use protocol::LeaseId;
use protocol::problem::Code;
use protocol::proof::Operation;
use protocol::response::DecisionResponse;
use store::{Outcome, Subject};

pub(crate) async fn hand_back(
    State(edge): State<Arc<Edge>>,
    lease: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    // What can't be a lease's id is no path of this function.
    let lease: LeaseId = lease.ok().and_then(|lease| lease.parse().ok()).ok_or_else(not_found)?;
    let keys = edge.keys.current(&edge).await?;
    let returned = judge_where(
        &edge,
        request,
        Operation::LeaseReturn(lease),
        |subject, admitted, now| {
            let may_judge =
                admitted.is_fork() || subject.revoked_at.is_some() || is_live(subject, lease, now);
            if may_judge { Ok(()) } else { Err(not_found()) }
        },
        |subject, admitted, now| {
            if admitted.is_fork() || subject.revoked_at.is_some() {
                let outcome = if admitted.is_fork() { Outcome::Clone } else { Outcome::Refused };
                return (outcome, Err(Refusal::new(Code::Forbidden, "This install may not return a lease.")));
            }
            subject.return_lease(now);
            let judgement = judge(subject, now);
            let counter = admitted.counter().value();
            let token = token(&edge, &keys, subject, &judgement, admitted.nonce(), counter, now);
            let decision = judgement.decision;
            let answer = DecisionResponse {
                state: decision.state,
                next_heartbeat_in: decision.next_heartbeat,
                server_time: now,
                token,
            };
            (Outcome::Accepted, Ok((decision, answer)))
        },
    );
    let (decision, answer) = returned.await?;
    edge.metrics.decided(&decision);
    edge.metrics.leased("returned");
    Ok(answer::json(StatusCode::OK, &answer))
}

fn not_found() -> Refusal {
    Refusal::new(Code::NotFound, "That is no live lease of this install.")
}

/// Whether it is the install's live lease. One that was revoked is live until the install is heard of.
fn is_live(subject: &Subject, lease: LeaseId, now: i64) -> bool {
    subject.lease.is_some_and(|live| live.id == lease && live.runs(now))
}
