//! `/session`: who calls, signing in and out, the second factor.

use axum::response::Response;
use edge::{Refusal, answer};
use http::StatusCode;
use http::header::SET_COOKIE;
use protocol::UserId;
use protocol::admin::{Credentials, TotpAction, TotpAnswer};
use protocol::problem::Code;

use super::call::{self, Call};
use super::caller::{Caller, set_cookie};
use crate::error::Error;
use crate::session::{self, SignIn};

pub(super) async fn create(call: Call) -> Result<Response, Refusal> {
    let credentials = call.body(Credentials::read)?;
    match session::sign_in(&call.edge.store, &call.passwords, &credentials, call.address).await? {
        SignIn::Done(token, session) => {
            let mut response = answer::json(StatusCode::CREATED, &session);
            response.headers_mut().insert(SET_COOKIE, set_cookie(&call.edge, Some(&token)));
            Ok(response)
        }
        SignIn::Refused => {
            let detail = "There is no account of this address and this password.";
            Err(Refusal::new(Code::Unauthorized, detail))
        }
        SignIn::CodeWanted => {
            let detail = "Send a code of the second factor that holds, as totp.";
            Err(Refusal::new(Code::Unauthorized, detail).with_reason("totp_required"))
        }
        SignIn::Wait(seconds) => Err(Refusal::slow_down(seconds)),
    }
}

pub(super) async fn show(call: Call) -> Result<Response, Refusal> {
    let session = call.caller.session().ok_or_else(Refusal::unauthorized)?;
    Ok(answer::json(StatusCode::OK, &session))
}

pub(super) async fn remove(call: Call) -> Result<Response, Refusal> {
    let Caller::Person(row) = &call.caller else { return Err(no_session()) };
    let session = call.caller.session().ok_or_else(Refusal::unauthorized)?;
    session::sign_out(&call.operator()?, row.id, &session).await?;
    let mut response = call::nothing();
    response.headers_mut().insert(SET_COOKIE, set_cookie(&call.edge, None));
    Ok(response)
}

pub(super) async fn totp(call: Call) -> Result<Response, Refusal> {
    let user = person(&call)?;
    let operator = call.operator()?;
    let answered = match call.body(TotpAction::read)? {
        TotpAction::Enrol { password } => {
            TotpAnswer::Enrolled(session::enrol(&operator, &call.passwords, user, &password).await?)
        }
        TotpAction::Confirm { totp } => {
            TotpAnswer::Confirmed(session::confirm(&operator, user, &totp).await?)
        }
        TotpAction::Remove { password, totp } => TotpAnswer::Removed(
            session::remove(&operator, &call.passwords, user, &password, totp.as_deref()).await?,
        ),
    };
    Ok(answer::json(StatusCode::OK, &answered))
}

fn person(call: &Call) -> Result<UserId, Refusal> {
    match &call.caller {
        Caller::Person(session) => Ok(session.user),
        Caller::Script(_) | Caller::Nobody => Err(no_session()),
    }
}

fn no_session() -> Refusal {
    Error::Forbidden("An API key has no session and no second factor.").into()
}
