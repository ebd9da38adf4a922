//! Scripts' keys. The database knows each by its hash.

use protocol::ApiKeyId;
use protocol::admin::Role;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::change::Change;
use crate::contact::corrupt;
use crate::sessions::USE_IS_NOTED_EVERY;
use crate::sql::{Timestamp, column, execute, instant, instant_or_null, row, rows, statements};
use crate::{Error, Store};

statements! {
    /// A new key.
    INSERT (UUID, TEXT, TEXT, BYTEA, TIMESTAMPTZ, TIMESTAMPTZ) "-- api_keys.insert
INSERT INTO api_keys (id, name, role, key_hash, expires_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6)"

    /// Keys after one, by id: in the order in which they were made.
    LIST (UUID, INT8) "-- api_keys.list
SELECT id, name, role, expires_at, last_used_at, version, created_at, updated_at
FROM api_keys WHERE id > $1 ORDER BY id LIMIT $2"

    /// One key.
    FIND (UUID) "-- api_keys.find
SELECT id, name, role, expires_at, last_used_at, version, created_at, updated_at FROM api_keys WHERE id = $1"

    /// One key, locked.
    LOCK (UUID) "-- api_keys.lock
SELECT id, name, role, expires_at, last_used_at, version, created_at, updated_at FROM api_keys WHERE id = $1 FOR UPDATE"

    /// The key of this hash, if it hasn't ended.
    FIND_BY_HASH (BYTEA, TIMESTAMPTZ) "-- api_keys.find_by_hash
SELECT id, name, role, expires_at, last_used_at, version, created_at, updated_at
FROM api_keys WHERE key_hash = $1 AND (expires_at IS NULL OR expires_at > $2)"

    /// It was used just now.
    TOUCH (UUID, TIMESTAMPTZ) "-- api_keys.touch
UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)"

    /// Changes a key.
    UPDATE (UUID, TEXT, TEXT, TIMESTAMPTZ, TIMESTAMPTZ) "-- api_keys.update
UPDATE api_keys SET name = $2, role = $3, expires_at = $4, version = version + 1, updated_at = $5 WHERE id = $1"

    /// Ends a key.
    DELETE (UUID) "-- api_keys.delete
DELETE FROM api_keys WHERE id = $1"
}

/// A key as it stands.
#[derive(Debug, Clone)]
pub struct ApiKeyRow {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<i64>,
    /// Moves with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed last.
    pub updated_at: i64,
}

impl Store {
    /// At most `limit` keys after `after`, in the order in which they were made.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_api_keys(&self, after: Option<ApiKeyId>, limit: i64) -> Result<Vec<ApiKeyRow>, Error> {
        let after = after.map_or(Uuid::nil(), |id| *id.as_uuid());
        rows(&**self.client().await?, &LIST, &[&after, &limit]).await?.iter().map(api_key).collect()
    }

    /// A key.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_api_key(&self, id: ApiKeyId) -> Result<Option<ApiKeyRow>, Error> {
        find(&**self.client().await?, id).await
    }

    /// The key of this hash, if it hasn't ended; notes that it was used.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn use_api_key(&self, key_hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, Error> {
        let now = self.clock().unix_seconds();
        let client = self.client().await?;
        let found = row(&**client, &FIND_BY_HASH, &[&key_hash.as_slice(), &Timestamp(now)]).await?;
        let Some(mut key) = found.as_ref().map(api_key).transpose()? else { return Ok(None) };
        if key.last_used_at.is_none_or(|at| now - at >= USE_IS_NOTED_EVERY) {
            execute(&**client, &TOUCH, &[key.id.as_uuid(), &Timestamp(now)]).await?;
            key.last_used_at = Some(now);
        }
        Ok(Some(key))
    }
}

impl Change<'_> {
    /// A key, locked until the change's end.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn lock_api_key(&self, id: ApiKeyId) -> Result<Option<ApiKeyRow>, Error> {
        row(&*self.tx, &LOCK, &[id.as_uuid()]).await?.as_ref().map(api_key).transpose()
    }

    /// Makes a key.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn insert_api_key(
        &self,
        name: &str,
        role: Role,
        expires_at: Option<i64>,
        key_hash: &[u8; 32],
    ) -> Result<ApiKeyRow, Error> {
        let id = ApiKeyId::from_uuid(self.store.new_id());
        let now = Timestamp(self.store.clock().unix_seconds());
        execute(
            &*self.tx,
            &INSERT,
            &[id.as_uuid(), &name, &role.as_str(), &key_hash.as_slice(), &expires_at.map(Timestamp), &now],
        )
        .await?;
        self.load_api_key(id).await
    }

    /// Changes a key.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn update_api_key(
        &self,
        id: ApiKeyId,
        name: &str,
        role: Role,
        expires_at: Option<i64>,
    ) -> Result<ApiKeyRow, Error> {
        let now = Timestamp(self.store.clock().unix_seconds());
        let expires_at = expires_at.map(Timestamp);
        execute(&*self.tx, &UPDATE, &[id.as_uuid(), &name, &role.as_str(), &expires_at, &now]).await?;
        self.load_api_key(id).await
    }

    /// Ends a key.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn delete_api_key(&self, id: ApiKeyId) -> Result<(), Error> {
        execute(&*self.tx, &DELETE, &[id.as_uuid()]).await.map(drop)
    }

    async fn load_api_key(&self, id: ApiKeyId) -> Result<ApiKeyRow, Error> {
        find(&*self.tx, id).await?.ok_or_else(|| corrupt("api key")("it is gone"))
    }
}

async fn find(client: &impl GenericClient, id: ApiKeyId) -> Result<Option<ApiKeyRow>, Error> {
    row(client, &FIND, &[id.as_uuid()]).await?.as_ref().map(api_key).transpose()
}

fn api_key(row: &Row) -> Result<ApiKeyRow, Error> {
    Ok(ApiKeyRow {
        id: ApiKeyId::from_uuid(column(row, "id")?),
        name: column(row, "name")?,
        role: column::<&str>(row, "role")?.parse().map_err(corrupt("role"))?,
        expires_at: instant_or_null(row, "expires_at")?,
        last_used_at: instant_or_null(row, "last_used_at")?,
        version: column(row, "version")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
    })
}
