//! What can go wrong with the database, and whose fault it is.

use tokio_postgres::error::SqlState;

use crate::sql::Sql;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the database, its content or its settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database doesn't answer, or is about to stop: whoever asks again later may be answered.
    #[error("the database is not available")]
    Unavailable(#[source] Cause),
    /// More callers wait for a connection than will get one soon.
    #[error("too much waits for the database")]
    Overloaded,
    /// The setting that names the database is wrong.
    #[error("QT_DATABASE_URL: {0}")]
    Settings(String),
    /// A statement was refused.
    #[error("statement {name} failed")]
    Statement {
        /// Which one.
        name: &'static str,
        /// What the database said.
        #[source]
        cause: tokio_postgres::Error,
    },
    /// A statement took longer than whoever asked would wait, and was broken off.
    #[error("statement {0} took too long")]
    TookTooLong(&'static str),
    /// A row violates what every row should hold.
    #[error("{what} in the database can't be read")]
    Corrupt {
        /// The column or the thing it stands for.
        what: &'static str,
        /// Why not.
        #[source]
        cause: Cause,
    },
    /// A migration failed, or one that was applied has changed since.
    #[error(
        "the schema can't be migrated (one with migrations that aren't there is a newer server's: use that version)"
    )]
    Migration(#[source] Box<refinery::Error>),
    /// A table or a column isn't there.
    #[error("the database's schema isn't this program's; run `qubictether migrate`")]
    NotMigrated(#[source] Cause),
    /// The database has no keys: `qubictether init` makes them.
    #[error("the database has no keys yet; run `qubictether init`")]
    NoKeys,
    /// There are keys already; making them again would lose everything sealed.
    #[error("the database has its keys already")]
    KeysExist,
    /// The keys don't open, or something sealed doesn't.
    #[error("a sealed value or a key can't be opened")]
    Keyring(#[from] keyring::Error),
    /// A signing key can't be moved on as wanted.
    #[error(transparent)]
    SigningKeys(#[from] keyring::signing::StepError),
    /// The root's private half was exported, and isn't among those that were given.
    #[error("root key {kid} isn't in the database: give the file that it was exported to (--root-key FILE)")]
    RootAbsent {
        /// The root that signs now.
        kid: String,
    },
    /// There is no such data key or lookup key.
    #[error("there is no {0}")]
    KeyUnknown(keyring::Context),
    /// A data key or lookup key isn't to be destroyed yet.
    #[error("{key} is still needed: {}", needed_for(*.left))]
    KeyNeeded {
        /// The key.
        key: keyring::Context,
        /// How many values are under it; none where it hasn't retired.
        left: Option<u64>,
    },
    /// Sealed values don't open, so that they can't be sealed anew.
    #[error("{count} sealed values can't be opened, and stay as they are; the first is {first}")]
    Closed {
        /// How many.
        count: u64,
        /// Where the first one stands, and why it doesn't open.
        first: String,
    },
    /// A thing of that name is there already.
    #[error("a {what} named {name:?} exists already")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
}

fn needed_for(left: Option<u64>) -> String {
    left.map_or_else(|| "it hasn't retired".to_owned(), |left| format!("{left} values are under it"))
}

impl Error {
    pub(crate) fn statement(sql: &Sql, cause: tokio_postgres::Error) -> Self {
        if is_outage(&cause) {
            Self::Unavailable(cause.into())
        } else if matches!(cause.code(), Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN)) {
            Self::NotMigrated(cause.into())
        } else {
            Self::Statement { name: sql.name(), cause }
        }
    }

    /// A failure outside any statement with a name: of BEGIN, COMMIT, a lock, a ping.
    pub(crate) fn from_connection(cause: tokio_postgres::Error) -> Self {
        if is_outage(&cause) {
            Self::Unavailable(cause.into())
        } else {
            Self::Statement { name: "transaction", cause }
        }
    }

    /// Whether a lock wasn't to be had in the time that was given.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        self.is_outage_by(&SqlState::LOCK_NOT_AVAILABLE)
    }

    /// Whether a statement was broken off.
    pub(crate) fn is_canceled(&self) -> bool {
        self.is_outage_by(&SqlState::QUERY_CANCELED)
    }

    fn is_outage_by(&self, code: &SqlState) -> bool {
        let Self::Unavailable(cause) = self else { return false };
        let cause = cause.downcast_ref::<tokio_postgres::Error>();
        cause.and_then(tokio_postgres::Error::code) == Some(code)
    }

    /// Whether the same call may succeed later: the database was away, busy, or chose another transaction over ours;
    /// or what wraps the keys doesn't answer.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Overloaded => true,
            Self::Keyring(error) => error.is_transient(),
            _ => false,
        }
    }
}

/// Whether the database, not the statement, is at fault.
fn is_outage(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else { return error.is_closed() || is_io(error) };
    matches!(
        *code,
        SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::TOO_MANY_CONNECTIONS
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::QUERY_CANCELED
            | SqlState::LOCK_NOT_AVAILABLE
            | SqlState::READ_ONLY_SQL_TRANSACTION
            | SqlState::DISK_FULL
    )
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}
