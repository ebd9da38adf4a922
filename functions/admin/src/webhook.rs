//! Webhooks: made, tried out, removed; what was told to them, and how it is delivered.

mod address;
mod courier;
mod send;
mod target;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::admin::{CreatedWebhook, Delivery, DeliveryStatus, NewWebhook, Time, Webhook};
use protocol::ambient::array;
use protocol::{DeliveryId, WebhookId};
use store::{Change, DeliveryRow, Store, WebhookRow};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::operator::{Expected, Making, Operator, States};
use crate::profile::raw;

pub use courier::{deliver, deliver_due};
pub use send::{Connecting, Internet, Network, Resolving, Sender};
use target::Target;

/// What a secret begins with, so that it is known for one wherever it turns up (Standard Webhooks).
const SECRET: &str = "whsec_";

/// At most `limit` webhooks after `after`, in the order in which they were made.
///
/// # Errors
/// When the database isn't available.
pub async fn list(store: &Store, after: Option<WebhookId>, limit: i64) -> Result<Vec<Webhook>, Error> {
    Ok(store.list_webhooks(after, limit).await?.into_iter().map(shown).collect())
}

/// Makes a webhook, whose secret is told only now. Nobody is asked yet whether somebody is there: that is what a ping is
/// for.
///
/// # Errors
/// When nothing may be sent to the URL.
pub async fn create(
    operator: &Operator<'_>,
    wanted: NewWebhook,
    allows_private: bool,
) -> Result<CreatedWebhook, Error> {
    Target::parse(&wanted.url, allows_private).map_err(|why| Error::invalid("/url", why))?;
    let mut connection = operator.connect().await?;
    let draft = match operator.begin_making(&mut connection).await? {
        Making::Done(created) => return Ok(created),
        Making::New(draft) => draft,
    };
    let secret = Zeroizing::new(array::<32>(operator.store.random()));
    let row = shown(draft.change.insert_webhook(&wanted.url, &wanted.events, &*secret).await?);
    let states = States::made(&row)?;
    let created = CreatedWebhook { row, secret: format!("{SECRET}{}", STANDARD.encode(*secret)) };
    operator.finish_making(draft, "webhook.create", created.row.id, states, &created).await?;
    Ok(created)
}

/// Removes a webhook, with everything that was to be told to it.
///
/// # Errors
/// When there is no such webhook, or it has changed since.
pub async fn remove(operator: &Operator<'_>, id: WebhookId, expected: &Expected) -> Result<(), Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    let before = shown(locked(&change, id, expected).await?);
    change.delete_webhook(id).await?;
    operator.finish(change, "webhook.remove", id, States::removed(&before)?).await
}

/// At most `limit` of a webhook's deliveries before `before`, the newest first.
///
/// # Errors
/// When there is no such webhook.
pub async fn deliveries(
    store: &Store,
    id: WebhookId,
    status: Option<DeliveryStatus>,
    before: Option<DeliveryId>,
    limit: i64,
) -> Result<Vec<Delivery>, Error> {
    if store.find_webhook(id).await?.is_none() {
        return Err(Error::not_found("webhook", &id));
    }
    let found = store.list_deliveries(id, status, before, limit).await?;
    Ok(found.into_iter().map(delivery_shown).collect())
}

/// Has a webhook told, at once, that it is tried out. What comes of it stands in its deliveries.
///
/// # Errors
/// When there is no such webhook, or it is disabled.
pub async fn ping(operator: &Operator<'_>, id: WebhookId) -> Result<Delivery, Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    enabled(&locked(&change, id, &Expected::ANY).await?)?;
    let delivery = delivery_shown(change.ping_webhook(id).await?);
    operator.finish(change, "webhook.ping", id, States::made(&delivery)?).await?;
    Ok(delivery)
}

/// Sends a delivery again, whatever has become of it: at once, and as often as something new. Its id stays. Of one that is
/// due anyhow it is done.
///
/// # Errors
/// When there is no such delivery, or its webhook is disabled.
pub async fn resend(operator: &Operator<'_>, id: WebhookId, delivery: DeliveryId) -> Result<Delivery, Error> {
    let mut connection = operator.connect().await?;
    let change = operator.begin(&mut connection).await?;
    enabled(&locked(&change, id, &Expected::ANY).await?)?;
    let before = change.find_delivery(id, delivery).await?;
    let before = delivery_shown(before.ok_or_else(|| Error::not_found("delivery", &delivery))?);
    if before.next_attempt_at.is_some_and(|at| at.0 <= operator.store.clock().unix_seconds()) {
        return Ok(before);
    }
    let after = delivery_shown(change.send_again(id, delivery).await?);
    operator.finish(change, "webhook.resend", id, States::changed(&before, &after)?).await?;
    Ok(after)
}

async fn locked(change: &Change<'_>, id: WebhookId, expected: &Expected) -> Result<WebhookRow, Error> {
    let webhook = change.lock_webhook(id).await?.ok_or_else(|| Error::not_found("webhook", &id))?;
    expected.check(webhook.version)?;
    Ok(webhook)
}

fn enabled(webhook: &WebhookRow) -> Result<(), Error> {
    let Some(at) = webhook.disabled_at.map(Time) else { return Ok(()) };
    Err(Error::Conflict(format!(
        "webhook {} is disabled since {at}, when its target answered 410 (gone): make it anew",
        webhook.id
    )))
}

fn shown(row: WebhookRow) -> Webhook {
    Webhook {
        id: row.id,
        url: row.url,
        events: row.events,
        disabled_at: row.disabled_at.map(Time),
        created_at: Time(row.created_at),
        updated_at: Time(row.updated_at),
        version: row.version,
    }
}

fn delivery_shown(row: DeliveryRow) -> Delivery {
    Delivery {
        id: row.id,
        webhook_id: row.webhook_id,
        event: row.event,
        status: row.status,
        attempts: row.attempts,
        created_at: Time(row.created_at),
        attempted_at: row.attempted_at.map(Time),
        next_attempt_at: row.due_at.map(Time),
        ended_at: row.ended_at.map(Time),
        status_code: row.status_code,
        error: row.error,
        payload: raw(row.body),
    }
}
