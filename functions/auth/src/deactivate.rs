//! `POST /v1/deactivate`: the install leaves; its lease is returned, its seat is free and its secret dead.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use edge::contact::judge_alone;
use edge::{Edge, Refusal};
use http::StatusCode;
use protocol::problem::Code;
use protocol::proof::Operation;
use store::Outcome;

pub(crate) async fn deactivate(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Refusal> {
    judge_alone(&edge, request, Operation::Deactivate, |subject, admitted, now| {
        // Leaving undoes nothing: what an operator holds against an install stays.
        let held = subject.suspended_at.is_some()
            || subject.revoked_at.is_some()
            || subject.awaiting_approval
            || subject.clone_suspected_at.is_some();
        if held {
            let outcome = if admitted.is_fork() { Outcome::Clone } else { Outcome::Refused };
            return (outcome, Err(Refusal::new(Code::Forbidden, "This install may not deactivate itself.")));
        }
        subject.return_lease(now);
        subject.deactivated_at = Some(now);
        subject.holds_seat = false;
        subject.seats_exceeded_at = None;
        subject.set_secrets(None);
        (Outcome::Accepted, Ok(()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
