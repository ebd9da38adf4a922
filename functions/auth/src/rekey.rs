//! `POST /v1/rekey`: a new secret. The old one goes on serving until the new one is first used.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use edge::contact::judge_alone;
use edge::{Edge, Refusal, answer};
use http::StatusCode;
use protocol::Secret;
use protocol::problem::Code;
use protocol::proof::Operation;
use protocol::response::RekeyResponse;
use store::Outcome;

pub(crate) async fn rekey(State(edge): State<Arc<Edge>>, request: Request) -> Result<Response, Refusal> {
    let answered = judge_alone(&edge, request, Operation::Rekey, |subject, admitted, now| {
        if admitted.is_fork() || subject.revoked_at.is_some() {
            let outcome = if admitted.is_fork() { Outcome::Clone } else { Outcome::Refused };
            return (outcome, Err(Refusal::new(Code::Forbidden, "This install may not have a new secret.")));
        }
        let secret = Secret::random(edge.store.random());
        subject.rekey(admitted.secret(), secret.clone());
        let counter = admitted.counter().value();
        (Outcome::Accepted, Ok(RekeyResponse { secret, counter, server_time: now }))
    });
    Ok(answer::json(StatusCode::OK, &answered.await?))
}
