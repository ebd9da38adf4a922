//! `/signing-keys`: what signs, and how much of the fleet knows of it.

use axum::response::Response;
use edge::{Refusal, answer};
use http::StatusCode;
use keyring::signing::KeyUse;
use protocol::admin::{KeyRotation, SigningKeys};
use store::{Actor, KeyTerms, Store};

use super::call::Call;
use super::query::{Asked, Cursor};
use crate::signing_key::{self, Keys};

pub(super) async fn list(call: Call) -> Result<Response, Refusal> {
    let asked = call.query.page();
    call.query.finish()?;
    let keys = signing_key::list(&call.edge.store, call.edge.settings.key_terms()).await?;
    tell(&call.edge.store, keys, &asked).await
}

pub(super) async fn rotate(call: Call) -> Result<Response, Refusal> {
    let wanted = call.body_or_none(KeyRotation::read)?;
    let uses: Vec<KeyUse> = match wanted.key_use.as_deref().map(str::parse) {
        Some(Ok(key_use)) => vec![key_use],
        _ => KeyUse::ALL.to_vec(),
    };
    let actor = call.actor()?;
    let keys = signing_key::rotate(&call.edge.store, &uses, terms(&call, &actor)).await?;
    tell(&call.edge.store, keys, &ALL).await
}

pub(super) async fn taint(call: Call) -> Result<Response, Refusal> {
    let actor = call.actor()?;
    let keys = signing_key::taint(&call.edge.store, call.name()?, terms(&call, &actor)).await?;
    tell(&call.edge.store, keys, &ALL).await
}

/// There are few keys; what was changed is told whole.
const ALL: Asked<String> = Asked { after: None, limit: i64::MAX };

fn terms<'a>(call: &'a Call, actor: &'a Actor) -> KeyTerms<'a> {
    KeyTerms { actor: Some(actor), ..call.edge.settings.key_terms() }
}

async fn tell(store: &Store, keys: Keys, asked: &Asked<String>) -> Result<Response, Refusal> {
    let fleet = signing_key::informed(store, &keys.keyset).await?;
    let all = keys.signing_keys;
    let after = asked.after.as_ref().and_then(|kid| all.iter().position(|key| key.kid == *kid));
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let mut items: Vec<_> = all.into_iter().skip(after.map_or(0, |at| at + 1)).collect();
    let is_last = items.len() <= limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| !is_last).map(|key| key.kid.told());
    let Keys { keyset, roots, warnings, .. } = Keys { signing_keys: Vec::new(), ..keys };
    let told = SigningKeys { items, next_cursor, keyset, fleet, roots, warnings };
    Ok(answer::json(StatusCode::OK, &told))
}
