//! The admin API over HTTP: a table of routes, and what all of them have in common.
//!
//! [`routes`] is the one table that says of each route who may call it, what it takes and what it answers. [`call`] is
//! how a request gets to its handler: signed in, allowed, read. A handler does one thing of the function's and answers.

mod api_keys;
mod audit;
mod call;
mod caller;
mod heartbeats;
mod hold;
mod installs;
mod leases;
mod licenses;
mod openapi;
mod origin;
mod overview;
mod profiles;
mod query;
mod route;
mod routes;
mod session;
mod signing_keys;
mod users;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use edge::Edge;

pub use openapi::document;

/// The function's routes, under `/v1/admin`.
pub fn router() -> Router<Arc<Edge>> {
    route::router(routes::all())
}
