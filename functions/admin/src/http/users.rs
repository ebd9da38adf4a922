//! `/users`: people who may sign in.

use axum::response::Response;
use edge::Refusal;
use http::StatusCode;
use protocol::admin::{NewUser, UserChange};

use super::call::{self, Call};
use crate::user;

pub(super) async fn list(call: Call) -> Result<Response, Refusal> {
    let asked = call.query.page();
    call.query.finish()?;
    let users = user::list(&call.edge.store, asked.after, asked.limit + 1).await?;
    Ok(Call::page(&asked, users, |user| user.id))
}

pub(super) async fn create(call: Call) -> Result<Response, Refusal> {
    let wanted = call.body(NewUser::read)?;
    let user = user::create(&call.operator()?, &call.passwords, wanted).await?;
    Ok(call::resource(StatusCode::CREATED, &user))
}

pub(super) async fn change(call: Call) -> Result<Response, Refusal> {
    let (id, expected) = (call.id()?, call.expected()?);
    let wanted = call.body(UserChange::read)?;
    let user = user::change(&call.operator()?, &call.passwords, id, &expected, wanted).await?;
    Ok(call::resource(StatusCode::OK, &user))
}

pub(super) async fn remove(call: Call) -> Result<Response, Refusal> {
    user::remove(&call.operator()?, call.id()?, &call.expected()?).await?;
    Ok(call::nothing())
}
