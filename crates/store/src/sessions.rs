//! Sessions of people who are signed in. The database knows each by the hash of its cookie's value.

use protocol::UserId;
use protocol::admin::Role;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::change::Change;
use crate::contact::corrupt;
use crate::sql::{Timestamp, column, execute, instant, row, statements};
use crate::{Error, Store};

/// A session that wasn't used for so long has ended, seconds.
pub(crate) const IDLE: i64 = 12 * 3600;

/// A session ends so long after it began, used or not, seconds.
pub const LIFE: i64 = 7 * 86_400;

/// How exactly it is known when a session or a key was last used, seconds.
pub(crate) const USE_IS_NOTED_EVERY: i64 = 60;

statements! {
    /// A new session.
    INSERT (UUID, BYTEA, UUID, TIMESTAMPTZ) "-- sessions.insert
INSERT INTO sessions (id, token_hash, user_id, created_at, last_seen_at) VALUES ($1, $2, $3, $4, $4)"

    /// A session that was used after $2 and began after $3, and whose it is.
    FIND (BYTEA, TIMESTAMPTZ, TIMESTAMPTZ) "-- sessions.find
SELECT s.id, s.user_id, s.created_at, s.last_seen_at, u.email, u.role, u.totp_confirmed_at IS NOT NULL AS totp
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.token_hash = $1 AND s.last_seen_at > $2 AND s.created_at > $3"

    /// It was used just now.
    TOUCH (UUID, TIMESTAMPTZ) "-- sessions.touch
UPDATE sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2"

    /// Ends a session.
    DELETE (UUID) "-- sessions.delete
DELETE FROM sessions WHERE id = $1"

    /// Ends a user's sessions.
    DELETE_OF_USER (UUID) "-- sessions.delete_of_user
DELETE FROM sessions WHERE user_id = $1"

    /// Forgets sessions that began before $1.
    FORGET (TIMESTAMPTZ) "-- sessions.forget
DELETE FROM sessions WHERE created_at <= $1"
}

/// A session that holds, and whose it is.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Its id.
    pub id: Uuid,
    /// Who is signed in.
    pub user: UserId,
    /// With which address.
    pub email: String,
    /// What it may do now.
    pub role: Role,
    /// Whether its signing in takes a code.
    pub totp: bool,
    /// When it began.
    pub created_at: i64,
    /// When it was last used, to the minute.
    pub last_seen_at: i64,
}

impl SessionRow {
    /// When it ends if it isn't used again.
    pub fn ends_at(&self) -> i64 {
        self.created_at.saturating_add(LIFE).min(self.last_seen_at.saturating_add(IDLE))
    }
}

impl Store {
    /// The session of this hash, if it holds; notes that it was used.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn use_session(&self, token_hash: &[u8; 32]) -> Result<Option<SessionRow>, Error> {
        let now = self.clock().unix_seconds();
        let client = self.client().await?;
        let (used, began) = (Timestamp(now - IDLE), Timestamp(now - LIFE));
        let Some(found) = row(&**client, &FIND, &[&token_hash.as_slice(), &used, &began]).await? else {
            return Ok(None);
        };
        let mut session = session(&found)?;
        if now - session.last_seen_at >= USE_IS_NOTED_EVERY {
            execute(&**client, &TOUCH, &[&session.id, &Timestamp(now)]).await?;
            session.last_seen_at = now;
        }
        Ok(Some(session))
    }

    /// Forgets sessions that have ended. Returns how many.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn forget_sessions(&self) -> Result<u64, Error> {
        let began = Timestamp(self.clock().unix_seconds() - LIFE);
        execute(&**self.client().await?, &FORGET, &[&began]).await
    }
}

impl Change<'_> {
    /// Begins a session. Returns its id.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn insert_session(&self, user: UserId, token_hash: &[u8; 32]) -> Result<Uuid, Error> {
        let (id, now) = (self.store.new_id(), Timestamp(self.store.clock().unix_seconds()));
        execute(&*self.tx, &INSERT, &[&id, &token_hash.as_slice(), user.as_uuid(), &now]).await?;
        Ok(id)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn delete_session(&self, id: Uuid) -> Result<(), Error> {
        execute(&*self.tx, &DELETE, &[&id]).await.map(drop)
    }

    /// Ends a user's sessions.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn delete_sessions_of(&self, user: UserId) -> Result<(), Error> {
        execute(&*self.tx, &DELETE_OF_USER, &[user.as_uuid()]).await.map(drop)
    }
}

fn session(row: &Row) -> Result<SessionRow, Error> {
    Ok(SessionRow {
        id: column(row, "id")?,
        user: UserId::from_uuid(column(row, "user_id")?),
        email: column(row, "email")?,
        role: column::<&str>(row, "role")?.parse().map_err(corrupt("role"))?,
        totp: column(row, "totp")?,
        created_at: instant(row, "created_at")?,
        last_seen_at: instant(row, "last_seen_at")?,
    })
}
