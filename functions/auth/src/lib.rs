//! The auth function: `POST /v1/activate`, `POST /v1/rekey`, `POST /v1/deactivate`, and the public keys.

mod activate;
mod deactivate;
mod keyset;
mod rekey;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use edge::Edge;

/// The function's routes.
pub fn router() -> Router<Arc<Edge>> {
    Router::new()
        .route("/v1/activate", post(activate::activate))
        .route("/v1/rekey", post(rekey::rekey))
        .route("/v1/deactivate", post(deactivate::deactivate))
        .route("/v1/keyset", get(keyset::keyset))
        .route("/v1/keyset/successor/{kid}", get(keyset::successor))
        .route("/.well-known/jwks.json", get(keyset::jwks))
}
