//! Deliveries: the queue of what webhooks are to be told, and what has become of it.
//!
//! INVARIANT(lease): who attempts a delivery takes it first, which moves its due time to where that ends and counts the
//! attempt. Until then nobody else takes it; after that anybody does, since who took it may have died. What comes of an
//! attempt is written only while it is the last one. So in the ordinary way each is delivered once, and in any way at
//! least once.

use keyring::Keyring;
use protocol::admin::{DeliveryFault, DeliveryStatus, EventType};
use protocol::{DeliveryId, WebhookId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use zeroize::Zeroizing;

use crate::change::Change;
use crate::contact::corrupt;
use crate::event::Event;
use crate::sql::{Timestamp, column, execute, instant, instant_or_null, row, rows, statements};
use crate::webhook::place;
use crate::{Error, Store};

/// How long a delivery is left to who has taken it, seconds: more than an attempt may last.
const LEASE: i64 = 60;

/// How long it is remembered what was told, seconds.
const KEPT: i64 = 30 * 86_400;

statements! {
    /// Something to tell one webhook, whatever it listens to.
    INSERT (UUID, UUID, TEXT, TEXT, TIMESTAMPTZ) "-- webhook_delivery.insert
INSERT INTO webhook_deliveries (webhook_id, id, event, body, created_at, due_at) VALUES ($1, $2, $3, $4::json, $5, $5)"

    /// A webhook's deliveries before one, the newest first.
    LIST (UUID, UUID, INT8, TEXT) "-- webhook_delivery.list
SELECT webhook_id, id, event, body::text AS body, status, created_at, due_at, attempts, attempted_at, status_code, error,
       ended_at
FROM webhook_deliveries
WHERE webhook_id = $1 AND ($2::uuid IS NULL OR id < $2) AND ($4::text IS NULL OR status = $4)
ORDER BY id DESC LIMIT $3"

    /// One.
    FIND (UUID, UUID) "-- webhook_delivery.find
SELECT webhook_id, id, event, body::text AS body, status, created_at, due_at, attempts, attempted_at, status_code, error,
       ended_at
FROM webhook_deliveries WHERE webhook_id = $1 AND id = $2"

    /// To be attempted now, and as often as something new.
    SEND_AGAIN (UUID, UUID, TIMESTAMPTZ) "-- webhook_delivery.send_again
UPDATE webhook_deliveries SET status = 'pending', due_at = $3, tries = 0, ended_at = NULL
WHERE webhook_id = $1 AND id = $2"

    /// The webhooks that something is due for.
    DUE (TIMESTAMPTZ) "-- webhook_delivery.due
SELECT w.id FROM webhooks w
WHERE w.disabled_at IS NULL
  AND EXISTS (SELECT FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.due_at <= $1)"

    /// Takes what is longest due of a webhook, and nobody has taken.
    TAKE (UUID, TIMESTAMPTZ, TIMESTAMPTZ, INT8) "-- webhook_delivery.take
WITH due AS MATERIALIZED (
    SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND due_at <= $2
    ORDER BY due_at LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE webhook_deliveries d
SET due_at = $3, attempts = d.attempts + 1, tries = d.tries + 1, attempted_at = $2
FROM due, webhooks w
WHERE d.webhook_id = $1 AND d.id = due.id AND w.id = $1 AND w.disabled_at IS NULL
RETURNING d.id, d.body::text AS body, d.attempts, d.tries, w.url, w.secret"

    /// What has come of an attempt, as long as it is the last one.
    SETTLE (UUID, UUID, INT4, TEXT, TIMESTAMPTZ, TIMESTAMPTZ, INT4, TEXT) "-- webhook_delivery.settle
UPDATE webhook_deliveries SET status = $4, due_at = $5, ended_at = $6, status_code = $7, error = $8
WHERE webhook_id = $1 AND id = $2 AND attempts = $3 AND status = 'pending'"

    /// The target is gone: it is told nothing any more.
    DISABLE (UUID, TIMESTAMPTZ) "-- webhook_delivery.disable
WITH gone AS (
    UPDATE webhooks SET disabled_at = $2, version = version + 1, updated_at = $2 WHERE id = $1 AND disabled_at IS NULL
)
UPDATE webhook_deliveries SET status = 'failed', due_at = NULL, ended_at = $2, error = 'disabled'
WHERE webhook_id = $1 AND status = 'pending'"

    /// Forgets what is old.
    FORGET (TIMESTAMPTZ) "-- webhook_delivery.forget
DELETE FROM webhook_deliveries WHERE created_at < $1"
}

/// A delivery as it stands.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// The message.
    pub id: DeliveryId,
    /// Whom it is told to.
    pub webhook_id: WebhookId,
    /// Of what.
    pub event: EventType,
    /// What is told, JSON.
    pub body: String,
    /// What has become of it.
    pub status: DeliveryStatus,
    /// When it happened.
    pub created_at: i64,
    /// When it is attempted next.
    pub due_at: Option<i64>,
    /// How often it was attempted.
    pub attempts: i32,
    /// When it was last attempted.
    pub attempted_at: Option<i64>,
    /// What was answered last.
    pub status_code: Option<i32>,
    /// Why the last attempt failed.
    pub error: Option<DeliveryFault>,
    /// When it was delivered or given up.
    pub ended_at: Option<i64>,
}

/// A delivery that is to be attempted by who has taken it.
pub struct TakenDelivery {
    /// Whom it is told to.
    pub webhook_id: WebhookId,
    /// The message.
    pub id: DeliveryId,
    /// Where.
    pub url: String,
    /// What is told, JSON.
    pub body: String,
    /// What signs it.
    pub secret: Zeroizing<Vec<u8>>,
    /// The number of this attempt since it was queued or sent again.
    pub tries: i32,
    /// The number of this attempt.
    attempts: i32,
}

/// What has come of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempted {
    /// The target took it.
    Delivered,
    /// It failed, and is to be attempted again at this time.
    Again(DeliveryFault, i64),
    /// It failed, and is given up.
    GivenUp(DeliveryFault),
    /// The target is gone: it is given up, with everything else for that webhook.
    Gone,
}

impl Store {
    /// At most `limit` of a webhook's deliveries before `before`, the newest first.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_deliveries(
        &self,
        webhook: WebhookId,
        status: Option<DeliveryStatus>,
        before: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<DeliveryRow>, Error> {
        let (before, status) = (before.map(|id| *id.as_uuid()), status.map(DeliveryStatus::as_str));
        let params: [&(dyn ToSql + Sync); 4] = [webhook.as_uuid(), &before, &limit, &status];
        rows(&**self.client().await?, &LIST, &params).await?.iter().map(delivery).collect()
    }

    /// The webhooks that something is due for.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_due_webhooks(&self) -> Result<Vec<WebhookId>, Error> {
        let now = Timestamp(self.clock().unix_seconds());
        let found = rows(&**self.client().await?, &DUE, &[&now]).await?;
        found.iter().map(|row| Ok(WebhookId::from_uuid(column(row, "id")?))).collect()
    }

    /// Takes at most `limit` deliveries of a webhook that are due, to attempt them now.
    ///
    /// # Errors
    /// When the database isn't available, or the webhook's secret doesn't open.
    pub async fn take_deliveries(&self, webhook: WebhookId, limit: i64) -> Result<Vec<TakenDelivery>, Error> {
        let now = self.clock().unix_seconds();
        let client = self.client().await?;
        let params: [&(dyn ToSql + Sync); 4] =
            [webhook.as_uuid(), &Timestamp(now), &Timestamp(now + LEASE), &limit];
        let found = rows(&**client, &TAKE, &params).await?;
        let mut taken = Vec::with_capacity(found.len());
        for row in &found {
            let sealed: &[u8] = column(row, "secret")?;
            let open = |keyring: &Keyring| Ok(keyring.open(place(webhook), sealed)?);
            taken.push(TakenDelivery {
                webhook_id: webhook,
                id: DeliveryId::from_uuid(column(row, "id")?),
                url: column(row, "url")?,
                body: column(row, "body")?,
                secret: self.opening(&**client, open).await?,
                tries: column(row, "tries")?,
                attempts: column(row, "attempts")?,
            });
        }
        Ok(taken)
    }

    /// Writes what has come of an attempt. Where somebody else has taken the delivery since, it is left to him.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn settle_delivery(
        &self,
        taken: &TakenDelivery,
        status_code: Option<u16>,
        attempted: Attempted,
    ) -> Result<(), Error> {
        let now = self.clock().unix_seconds();
        let (status, error) = match attempted {
            Attempted::Delivered => (DeliveryStatus::Delivered, None),
            Attempted::Again(fault, _) => (DeliveryStatus::Pending, Some(fault)),
            Attempted::GivenUp(fault) => (DeliveryStatus::Failed, Some(fault)),
            Attempted::Gone => (DeliveryStatus::Failed, Some(DeliveryFault::Gone)),
        };
        let due = if let Attempted::Again(_, at) = attempted { Some(Timestamp(at)) } else { None };
        let ended = due.is_none().then_some(Timestamp(now));
        let (webhook, code) = (taken.webhook_id.as_uuid(), status_code.map(i32::from));
        let params: [&(dyn ToSql + Sync); 8] = [
            webhook,
            taken.id.as_uuid(),
            &taken.attempts,
            &status.as_str(),
            &due,
            &ended,
            &code,
            &error.map(DeliveryFault::as_str),
        ];
        let mut client = self.client().await?;
        if attempted != Attempted::Gone {
            return execute(&**client, &SETTLE, &params).await.map(drop);
        }
        let tx = client.transaction().await.map_err(Error::from_connection)?;
        execute(&*tx, &SETTLE, &params).await?;
        execute(&*tx, &DISABLE, &[webhook, &Timestamp(now)]).await?;
        tx.commit().await.map_err(Error::from_connection)
    }

    /// Forgets what was told long ago, and what was never told in all that time. Returns how many.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn forget_deliveries(&self) -> Result<u64, Error> {
        let before = Timestamp(self.clock().unix_seconds() - KEPT);
        execute(&**self.client().await?, &FORGET, &[&before]).await
    }
}

impl Change<'_> {
    /// A delivery, if there is one.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_delivery(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<Option<DeliveryRow>, Error> {
        let found = row(&*self.tx, &FIND, &[webhook.as_uuid(), id.as_uuid()]).await?;
        found.as_ref().map(delivery).transpose()
    }

    /// Has a webhook told that it is tried out.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn ping_webhook(&self, webhook: WebhookId) -> Result<DeliveryRow, Error> {
        let now = self.store.clock().unix_seconds();
        let id = DeliveryId::from_uuid(self.store.new_id());
        let (name, body) = Event::ping(now).message();
        let params: [&(dyn ToSql + Sync); 5] =
            [webhook.as_uuid(), id.as_uuid(), &name, &body, &Timestamp(now)];
        execute(&*self.tx, &INSERT, &params).await?;
        self.load_delivery(webhook, id).await
    }

    /// Has a delivery attempted now, and as often as something new.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn send_again(&self, webhook: WebhookId, id: DeliveryId) -> Result<DeliveryRow, Error> {
        execute(&*self.tx, &SEND_AGAIN, &[webhook.as_uuid(), id.as_uuid(), &self.now()]).await?;
        self.load_delivery(webhook, id).await
    }

    async fn load_delivery(&self, webhook: WebhookId, id: DeliveryId) -> Result<DeliveryRow, Error> {
        self.find_delivery(webhook, id).await?.ok_or_else(|| corrupt("delivery")("it is gone"))
    }
}

fn delivery(row: &Row) -> Result<DeliveryRow, Error> {
    let fault = column::<Option<&str>>(row, "error")?.map(str::parse).transpose();
    Ok(DeliveryRow {
        id: DeliveryId::from_uuid(column(row, "id")?),
        webhook_id: WebhookId::from_uuid(column(row, "webhook_id")?),
        event: column::<&str>(row, "event")?.parse().map_err(corrupt("event"))?,
        body: column(row, "body")?,
        status: column::<&str>(row, "status")?.parse().map_err(corrupt("status"))?,
        created_at: instant(row, "created_at")?,
        due_at: instant_or_null(row, "due_at")?,
        attempts: column(row, "attempts")?,
        attempted_at: instant_or_null(row, "attempted_at")?,
        status_code: column(row, "status_code")?,
        error: fault.map_err(corrupt("error"))?,
        ended_at: instant_or_null(row, "ended_at")?,
    })
}
