//! Webhooks: who is told of changes, where, and of what.

use keyring::Place;
use protocol::WebhookId;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::change::Change;
use crate::contact::corrupt;
use crate::sql::{column, execute, instant, instant_or_null, row, rows, statements};
use crate::{Error, Store};

statements! {
    /// A new one.
    INSERT (UUID, TEXT, TEXT_ARRAY, BYTEA, TIMESTAMPTZ) "-- webhook.insert
INSERT INTO webhooks (id, url, events, secret, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)"

    /// Webhooks after one, by id: in the order in which they were made.
    LIST (UUID, INT8) "-- webhook.list
SELECT id, url, events, disabled_at, version, created_at, updated_at FROM webhooks WHERE id > $1 ORDER BY id LIMIT $2"

    /// One.
    FIND (UUID) "-- webhook.find
SELECT id, url, events, disabled_at, version, created_at, updated_at FROM webhooks WHERE id = $1"

    /// One, locked.
    LOCK (UUID) "-- webhook.lock
SELECT id, url, events, disabled_at, version, created_at, updated_at FROM webhooks WHERE id = $1 FOR UPDATE"

    /// Removes one, with what was to be told to it.
    DELETE (UUID) "-- webhook.delete
WITH untold AS (DELETE FROM webhook_deliveries WHERE webhook_id = $1)
DELETE FROM webhooks WHERE id = $1"
}

/// A webhook as it stands.
#[derive(Debug, Clone)]
pub struct WebhookRow {
    /// Its id.
    pub id: WebhookId,
    /// Where it is told.
    pub url: String,
    /// Of what.
    pub events: Vec<String>,
    /// Since when its target is gone.
    pub disabled_at: Option<i64>,
    /// Moves with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed last.
    pub updated_at: i64,
}

/// Where a webhook's secret stands, which its seal is bound to.
pub(crate) fn place(id: WebhookId) -> Place<'static> {
    Place { table: "webhooks", column: "secret", row: *id.as_uuid().as_bytes() }
}

impl Store {
    /// At most `limit` webhooks after `after`, in the order in which they were made.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_webhooks(
        &self,
        after: Option<WebhookId>,
        limit: i64,
    ) -> Result<Vec<WebhookRow>, Error> {
        let after = after.map_or(Uuid::nil(), |id| *id.as_uuid());
        rows(&**self.client().await?, &LIST, &[&after, &limit]).await?.iter().map(webhook).collect()
    }

    /// A webhook.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_webhook(&self, id: WebhookId) -> Result<Option<WebhookRow>, Error> {
        row(&**self.client().await?, &FIND, &[id.as_uuid()]).await?.as_ref().map(webhook).transpose()
    }
}

impl Change<'_> {
    /// A webhook, locked until the change's end.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn lock_webhook(&self, id: WebhookId) -> Result<Option<WebhookRow>, Error> {
        row(&*self.tx, &LOCK, &[id.as_uuid()]).await?.as_ref().map(webhook).transpose()
    }

    /// Makes a webhook, whose messages are signed by `secret`.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn insert_webhook(
        &self,
        url: &str,
        events: &[String],
        secret: &[u8],
    ) -> Result<WebhookRow, Error> {
        let id = WebhookId::from_uuid(self.store.new_id());
        let sealed = self.keyring.seal(place(id), secret, self.store.random())?;
        execute(&*self.tx, &INSERT, &[id.as_uuid(), &url, &events, &sealed, &self.now()]).await?;
        self.lock_webhook(id).await?.ok_or_else(|| corrupt("webhook")("it is gone"))
    }

    /// Removes a webhook, with what was to be told to it.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn delete_webhook(&self, id: WebhookId) -> Result<(), Error> {
        execute(&*self.tx, &DELETE, &[id.as_uuid()]).await.map(drop)
    }
}

fn webhook(row: &Row) -> Result<WebhookRow, Error> {
    Ok(WebhookRow {
        id: WebhookId::from_uuid(column(row, "id")?),
        url: column(row, "url")?,
        events: column(row, "events")?,
        disabled_at: instant_or_null(row, "disabled_at")?,
        version: column(row, "version")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
    })
}
