//! A function as a Lambda binary: settings from the environment, database and keys opened in the init phase, events of
//! a function URL answered by the same router and envelope as in `serve`.
//!
//! A process answers one event at a time and may be frozen between two, for any time. So nothing here runs in the
//! background, and what was opened may have died unseen: `store` finds that out at the next event. What has to be seen to
//! without anybody asking is done at a schedule's event, by a function that takes those.

mod event;
mod function;
mod log;

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use lambda_http::lambda_runtime;
use lambda_http::{LambdaEvent, service_fn};
use serde_json::value::RawValue;

use crate::config::SettingsError;
use crate::{Edge, Refusal, Settings};

pub use event::{Answer, EventError, answer};
use function::Function;
pub use function::Routes;

/// A process has one request at a time, which needs one connection; a second one is there for what runs beside it.
const CONNECTIONS: &str = "2";

/// What a function does at a schedule's event.
pub type Scheduled = fn(Arc<Edge>) -> Doing;

/// That, under way.
pub type Doing = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// Why a function doesn't start.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "this program is a Lambda function and wants Lambda's environment; `qubictether serve` needs none"
    )]
    NotInLambda,
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the function can't be opened")]
    Open(#[from] function::Error),
    #[error("Lambda's runtime interface failed")]
    Runtime(#[source] lambda_http::Error),
}

/// Runs a function until Lambda ends the process. `lookup` reads the environment; `routes` are the function's.
///
/// What is wrong for good (a setting, the keys) ends it with a line in the log. A database that is only away doesn't:
/// requests are refused as `unavailable` until it is there.
pub async fn run(lookup: impl Fn(&str) -> Option<String>, routes: fn() -> Router<Arc<Edge>>) -> ExitCode {
    run_logged(lookup, routes, None).await
}

/// The same for a function that takes a schedule's events, too.
pub async fn run_on_schedule(
    lookup: impl Fn(&str) -> Option<String>,
    routes: Routes,
    scheduled: Scheduled,
) -> ExitCode {
    run_logged(lookup, routes, Some(scheduled)).await
}

async fn run_logged(
    lookup: impl Fn(&str) -> Option<String>,
    routes: Routes,
    scheduled: Option<Scheduled>,
) -> ExitCode {
    let started = match log::start(lookup("QT_LOG").as_deref()) {
        Ok(()) => start(lookup, routes, scheduled).await,
        Err(error) => Err(error.into()),
    };
    let Err(error) = started else { return ExitCode::SUCCESS };
    log::complain(&error);
    ExitCode::FAILURE
}

async fn start(
    lookup: impl Fn(&str) -> Option<String>,
    routes: Routes,
    scheduled: Option<Scheduled>,
) -> Result<(), Error> {
    // The runtime's client would panic.
    if lookup("AWS_LAMBDA_RUNTIME_API").is_none() || lookup("AWS_LAMBDA_FUNCTION_NAME").is_none() {
        return Err(Error::NotInLambda);
    }
    let settings = Settings::read(|name| {
        let set = lookup(name).filter(|text| !text.is_empty());
        set.or_else(|| (name == "QT_DATABASE_CONNECTIONS").then(|| CONNECTIONS.to_owned()))
    })?;
    let function = Function::open(settings, routes).await?;
    let handler = |event: LambdaEvent<Box<RawValue>>| {
        let function = &function;
        async move {
            let event = event.payload.get();
            match scheduled.filter(|_| event::is_scheduled(event)) {
                Some(scheduled) => event::done(async { scheduled(function.edge().await?).await }.await),
                None => answer(function.router().await, event).await,
            }
        }
    };
    lambda_runtime::run(service_fn(handler)).await.map_err(Error::Runtime)
}
