//! The public keys: `GET /v1/keyset`, `GET /v1/keyset/successor/{kid}`, `GET /.well-known/jwks.json`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use edge::{Edge, Refusal, answer};
use jose_jwt::base64url;
use keyring::signing;
use protocol::problem::Code;
use std::sync::Arc;

/// The newest keyset, signed by the root key.
pub(crate) async fn keyset(State(edge): State<Arc<Edge>>) -> Result<Response, Refusal> {
    let keys = edge.keys.current(&edge).await?;
    Ok(answer::public("application/jwt", keys.keyset.jws.clone()))
}

/// What a root key was followed by.
pub(crate) async fn successor(
    State(edge): State<Arc<Edge>>,
    kid: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    // What isn't a thumbprint is no key's name; the database can't even be asked for all that a path may hold.
    let kid = kid.ok().filter(|kid| base64url::decode_array::<32>(kid).is_ok());
    let successor = match kid {
        Some(Path(kid)) => edge.store.find_root_successor(&kid).await?,
        None => None,
    };
    let successor =
        successor.ok_or_else(|| Refusal::new(Code::NotFound, "That root key has no successor."))?;
    Ok(answer::public("application/jwt", successor))
}

/// Every key that verifies now.
pub(crate) async fn jwks(State(edge): State<Arc<Edge>>) -> Result<Response, Refusal> {
    let keys = edge.keys.current(&edge).await?;
    let jwks = signing::jwks(&keys.records, edge.now());
    Ok(answer::public("application/jwk-set+json", answer::text(&jwks)?))
}
