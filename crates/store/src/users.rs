//! People who may sign in.

use keyring::{Keyring, Place};
use protocol::UserId;
use protocol::admin::Role;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::change::Change;
use crate::contact::corrupt;
use crate::sql::{Timestamp, column, execute, instant, row, rows, statements};
use crate::{Error, Store};

statements! {
    /// A new user.
    INSERT (UUID, TEXT, TEXT, TEXT, TIMESTAMPTZ) "-- users.insert
INSERT INTO users (id, email, role, password_hash, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)
ON CONFLICT (email) DO NOTHING"

    /// Users after one, by id: in the order in which they were made.
    LIST (UUID, INT8) "-- users.list
SELECT id, email, role, password_hash, totp_secret, totp_confirmed_at IS NOT NULL AS totp, version, created_at, updated_at
FROM users WHERE id > $1 ORDER BY id LIMIT $2"

    /// One user.
    FIND (UUID) "-- users.find
SELECT id, email, role, password_hash, totp_secret, totp_confirmed_at IS NOT NULL AS totp, version, created_at, updated_at
FROM users WHERE id = $1"

    /// One user, locked.
    LOCK (UUID) "-- users.lock
SELECT id, email, role, password_hash, totp_secret, totp_confirmed_at IS NOT NULL AS totp, version, created_at, updated_at
FROM users WHERE id = $1 FOR UPDATE"

    /// Who signs in with this address.
    FIND_BY_EMAIL (TEXT) "-- users.find_by_email
SELECT id, email, role, password_hash, totp_secret, totp_confirmed_at IS NOT NULL AS totp, version, created_at, updated_at
FROM users WHERE email = $1"

    /// Changes what is given.
    UPDATE (UUID, TEXT, TEXT, TEXT, TIMESTAMPTZ) "-- users.update
UPDATE users SET email = $2, role = $3, password_hash = coalesce($4, password_hash), version = version + 1, updated_at = $5
WHERE id = $1 AND NOT EXISTS (SELECT FROM users other WHERE other.email = $2 AND other.id <> $1)"

    /// Removes a user; its sessions go with it.
    DELETE (UUID) "-- users.delete
DELETE FROM users WHERE id = $1"

    /// Every owner, locked, so that two who leave don't both think that the other stays.
    LOCK_OWNERS () "-- users.lock_owners
SELECT id FROM users WHERE role = 'owner' ORDER BY id FOR UPDATE"

    /// A second factor that isn't confirmed yet.
    ENROL (UUID, BYTEA, TIMESTAMPTZ) "-- users.enrol_totp
UPDATE users SET totp_secret = $2, totp_confirmed_at = NULL, recovery_codes = '{}', version = version + 1, updated_at = $3
WHERE id = $1"

    /// From now on signing in takes a code.
    CONFIRM (UUID, BYTEA_ARRAY, TIMESTAMPTZ) "-- users.confirm_totp
UPDATE users SET totp_confirmed_at = $3, recovery_codes = $2, version = version + 1, updated_at = $3 WHERE id = $1"

    /// Ends the second factor.
    REMOVE (UUID, TIMESTAMPTZ) "-- users.remove_totp
UPDATE users SET totp_secret = NULL, totp_confirmed_at = NULL, recovery_codes = '{}', version = version + 1, updated_at = $2
WHERE id = $1"

    /// Takes a time step's code, unless that or a later one was taken before.
    TAKE_STEP (UUID, INT8) "-- users.take_totp_step
UPDATE users SET totp_step = $2 WHERE id = $1 AND totp_step < $2"

    /// Takes a recovery code, unless it was taken before.
    TAKE_RECOVERY (UUID, BYTEA) "-- users.take_recovery_code
UPDATE users SET recovery_codes = array_remove(recovery_codes, $2) WHERE id = $1 AND $2 = ANY (recovery_codes)"
}

/// A user as it stands.
#[derive(Clone)]
pub struct UserRow {
    /// Its id.
    pub id: UserId,
    /// What it signs in with, in lower case.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// Argon2id, in the PHC string format.
    pub password_hash: String,
    /// Whether signing in takes a code.
    pub totp: bool,
    /// Moves with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed last.
    pub updated_at: i64,
    totp_secret: Option<Vec<u8>>,
}

impl std::fmt::Debug for UserRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserRow").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

fn totp_place(id: UserId) -> Place<'static> {
    Place { table: "users", column: "totp_secret", row: *id.as_uuid().as_bytes() }
}

impl Store {
    /// At most `limit` users after `after`, in the order in which they were made.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn list_users(&self, after: Option<UserId>, limit: i64) -> Result<Vec<UserRow>, Error> {
        let after = after.map_or(Uuid::nil(), |id| *id.as_uuid());
        rows(&**self.client().await?, &LIST, &[&after, &limit]).await?.iter().map(user).collect()
    }

    /// A user.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_user(&self, id: UserId) -> Result<Option<UserRow>, Error> {
        row(&**self.client().await?, &FIND, &[id.as_uuid()]).await?.as_ref().map(user).transpose()
    }

    /// Who signs in with this address, which is in lower case.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn find_user_by_email(&self, email: &str) -> Result<Option<UserRow>, Error> {
        row(&**self.client().await?, &FIND_BY_EMAIL, &[&email]).await?.as_ref().map(user).transpose()
    }

    /// The seed of a user's second factor, confirmed or not.
    ///
    /// # Errors
    /// When it doesn't open, or the database isn't available.
    pub async fn open_totp_secret(&self, user: &UserRow) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        open_totp_secret(self, &**self.client().await?, user).await
    }

    /// Takes a time step's code. Returns whether neither it nor a later one was taken before.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn take_totp_step(&self, id: UserId, step: i64) -> Result<bool, Error> {
        Ok(execute(&**self.client().await?, &TAKE_STEP, &[id.as_uuid(), &step]).await? > 0)
    }

    /// Takes a recovery code by its hash. Returns whether it was there.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn take_recovery_code(&self, id: UserId, hash: &[u8; 32]) -> Result<bool, Error> {
        let hash = hash.as_slice();
        Ok(execute(&**self.client().await?, &TAKE_RECOVERY, &[id.as_uuid(), &hash]).await? > 0)
    }
}

async fn open_totp_secret(
    store: &Store,
    client: &impl GenericClient,
    user: &UserRow,
) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let Some(sealed) = &user.totp_secret else { return Ok(None) };
    let open = |keyring: &Keyring| Ok(keyring.open(totp_place(user.id), sealed)?);
    store.opening(client, open).await.map(Some)
}

impl Change<'_> {
    /// The seed of a user's second factor, confirmed or not.
    ///
    /// # Errors
    /// When it doesn't open, or the database isn't available.
    pub async fn open_totp_secret(&self, user: &UserRow) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        open_totp_secret(self.store, &*self.tx, user).await
    }

    /// A user, locked until the change's end.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn lock_user(&self, id: UserId) -> Result<Option<UserRow>, Error> {
        row(&*self.tx, &LOCK, &[id.as_uuid()]).await?.as_ref().map(user).transpose()
    }

    /// Makes a user.
    ///
    /// # Errors
    /// [`Error::Exists`] when the address is taken.
    pub async fn insert_user(&self, email: &str, role: Role, password_hash: &str) -> Result<UserRow, Error> {
        let id = UserId::from_uuid(self.store.new_id());
        let now = Timestamp(self.store.clock().unix_seconds());
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [id.as_uuid(), &email, &role.as_str(), &password_hash, &now];
        if execute(&*self.tx, &INSERT, &params).await? == 0 {
            return Err(exists(email));
        }
        self.load_user(id).await
    }

    /// Changes a user; without a hash its password stays.
    ///
    /// # Errors
    /// [`Error::Exists`] when the address is somebody else's.
    pub async fn update_user(
        &self,
        id: UserId,
        email: &str,
        role: Role,
        password_hash: Option<&str>,
    ) -> Result<UserRow, Error> {
        let now = Timestamp(self.store.clock().unix_seconds());
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [id.as_uuid(), &email, &role.as_str(), &password_hash, &now];
        if execute(&*self.tx, &UPDATE, &params).await? == 0 {
            return Err(exists(email));
        }
        self.load_user(id).await
    }

    /// Removes a user and its sessions.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn delete_user(&self, id: UserId) -> Result<(), Error> {
        execute(&*self.tx, &DELETE, &[id.as_uuid()]).await.map(drop)
    }

    /// Every owner, locked until the change's end.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn lock_owners(&self) -> Result<Vec<UserId>, Error> {
        let id = |row: &Row| Ok(UserId::from_uuid(column(row, "id")?));
        rows(&*self.tx, &LOCK_OWNERS, &[]).await?.iter().map(id).collect()
    }

    /// Keeps the seed of a second factor that a code has to confirm. What was in force before is no more.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn enrol_totp(&self, id: UserId, secret: &[u8]) -> Result<UserRow, Error> {
        let sealed = self.keyring.seal(totp_place(id), secret, self.store.random())?;
        let now = Timestamp(self.store.clock().unix_seconds());
        execute(&*self.tx, &ENROL, &[id.as_uuid(), &sealed, &now]).await?;
        self.load_user(id).await
    }

    /// Puts the second factor into force.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn confirm_totp(&self, id: UserId, recovery: &[[u8; 32]]) -> Result<UserRow, Error> {
        let recovery: Vec<&[u8]> = recovery.iter().map(<[u8; 32]>::as_slice).collect();
        let now = Timestamp(self.store.clock().unix_seconds());
        execute(&*self.tx, &CONFIRM, &[id.as_uuid(), &recovery, &now]).await?;
        self.load_user(id).await
    }

    /// Ends the second factor.
    ///
    /// # Errors
    /// When the database isn't available.
    pub async fn remove_totp(&self, id: UserId) -> Result<UserRow, Error> {
        let now = Timestamp(self.store.clock().unix_seconds());
        execute(&*self.tx, &REMOVE, &[id.as_uuid(), &now]).await?;
        self.load_user(id).await
    }

    async fn load_user(&self, id: UserId) -> Result<UserRow, Error> {
        let found = find(&*self.tx, id).await?;
        found.ok_or_else(|| corrupt("user")("it is gone"))
    }
}

async fn find(client: &impl GenericClient, id: UserId) -> Result<Option<UserRow>, Error> {
    row(client, &FIND, &[id.as_uuid()]).await?.as_ref().map(user).transpose()
}

fn exists(email: &str) -> Error {
    Error::Exists { what: "user", name: email.to_owned() }
}

fn user(row: &Row) -> Result<UserRow, Error> {
    Ok(UserRow {
        id: UserId::from_uuid(column(row, "id")?),
        email: column(row, "email")?,
        role: column::<&str>(row, "role")?.parse().map_err(corrupt("role"))?,
        password_hash: column(row, "password_hash")?,
        totp: column(row, "totp")?,
        version: column(row, "version")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
        totp_secret: column(row, "totp_secret")?,
    })
}
