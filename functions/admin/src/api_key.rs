//! Scripts' keys: made, changed, ended.

use protocol::ApiKeyId;
use protocol::admin::{ApiKey, ApiKeyChange, CreatedApiKey, NewApiKey, Time};
use protocol::problem::FieldError;
use store::{ApiKeyRow, Change, Store};

use crate::error::Error;
use crate::operator::{Expected, Making, Operator, States};
use crate::token;

/// At most `limit` keys after `after`, in the order in which they were made.
///
/// # Errors
/// When the database isn't available.
pub async fn list(store: &Store, after: Option<ApiKeyId>, limit: i64) -> Result<Vec<ApiKey>, Error> {
    Ok(store.list_api_keys(after, limit).await?.into_iter().map(shown).collect())
}

/// Makes a key, which is told only now.
///
/// # Errors
/// When a value isn't as described.
pub async fn create(operator: &Operator<'_>, wanted: NewApiKey) -> Result<CreatedApiKey, Error> {
    checked(&wanted, operator.store.clock().unix_seconds())?;
    let mut connection = operator.connect().await?;
    let draft = match operator.begin_making(&mut connection).await? {
        Making::Done(created) => return Ok(created),
        Making::New(draft) => draft,
    };
    let (key, hash) = token::api_key(operator.store.random());
    let NewApiKey { name, role, expires_at } = wanted;
    let row = shown(draft.change.insert_api_key(&name, role, expires_at.map(|end| end.0), &hash).await?);
    let states = States::made(&row)?;
    let created = CreatedApiKey { row, api_key: key.to_string() };
    operator.finish_making(draft, "api_key.create", created.row.id, states, &created).await?;
    Ok(created)
}

/// Changes a key; it stays the same key.
///
/// # Errors
/// When there is no such key, it has changed since, or a value isn't as described.
pub async fn change(
    operator: &Operator<'_>,
    id: ApiKeyId,
    expected: &Expected,
    wanted: ApiKeyChange,
) -> Result<ApiKey, Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = locked(&change, id, expected).await?;
    let new = NewApiKey {
        name: wanted.name.unwrap_or_else(|| before.name.clone()),
        role: wanted.role.unwrap_or(before.role),
        expires_at: wanted.expires_at.unwrap_or(before.expires_at.map(Time)),
    };
    if new.expires_at == before.expires_at.map(Time) {
        checked(&NewApiKey { expires_at: None, ..new.clone() }, 0)?;
    } else {
        checked(&new, operator.store.clock().unix_seconds())?;
    }
    let after = shown(change.update_api_key(id, &new.name, new.role, new.expires_at.map(|end| end.0)).await?);
    operator.finish(change, "api_key.change", id, States::changed(&shown(before), &after)?).await?;
    Ok(after)
}

/// Ends a key.
///
/// # Errors
/// When there is no such key, or it has changed since.
pub async fn remove(operator: &Operator<'_>, id: ApiKeyId, expected: &Expected) -> Result<(), Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = shown(locked(&change, id, expected).await?);
    change.delete_api_key(id).await?;
    operator.finish(change, "api_key.remove", id, States::removed(&before)?).await
}

async fn locked(change: &Change<'_>, id: ApiKeyId, expected: &Expected) -> Result<ApiKeyRow, Error> {
    let key = change.lock_api_key(id).await?.ok_or_else(|| Error::not_found("API key", &id))?;
    expected.check(key.version)?;
    Ok(key)
}

fn checked(wanted: &NewApiKey, now: i64) -> Result<(), Error> {
    let mut errors = Vec::new();
    let mut refuse = |pointer: &str, detail: &str| {
        errors.push(FieldError { pointer: pointer.to_owned(), detail: detail.to_owned() });
    };
    if !(1..=100).contains(&wanted.name.chars().count()) || wanted.name.contains('\0') {
        refuse("/name", "has to have 1 to 100 characters");
    }
    if wanted.expires_at.is_some_and(|end| end.0 <= now) {
        refuse("/expires_at", "has to lie ahead");
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

fn shown(row: ApiKeyRow) -> ApiKey {
    ApiKey {
        id: row.id,
        name: row.name,
        role: row.role,
        expires_at: row.expires_at.map(Time),
        last_used_at: row.last_used_at.map(Time),
        created_at: Time(row.created_at),
        updated_at: Time(row.updated_at),
        version: row.version,
    }
}
