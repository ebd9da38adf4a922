//! What goes wrong in a command, and the exit status that says so to a script.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use protocol::problem::Code;

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line or a setting is wrong.
    #[error("{0}")]
    Usage(String),
    /// A setting is missing or wrong.
    #[error(transparent)]
    Settings(#[from] edge::config::SettingsError),
    /// The use case refuses.
    #[error(transparent)]
    Admin(admin::Error),
    /// The database or its keys.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The key-encryption key.
    #[error(transparent)]
    Keyring(#[from] keyring::Error),
    /// The private PostgreSQL of `serve --dev`.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// A file, a socket, a pipe.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The audit log isn't what it was.
    #[error("the audit log doesn't hold at row {at}: {detail}")]
    Tampered {
        /// The first row that doesn't hold.
        at: i64,
        /// What is wrong there.
        detail: String,
    },
    /// A dump can't be restored.
    #[error("{} can't be restored: {detail}", file.display())]
    Restore {
        /// The dump.
        file: PathBuf,
        /// What PostgreSQL said first.
        detail: String,
    },
    /// What is sealed in a backup doesn't open.
    #[error("{count} sealed values don't open; the first is {first}")]
    Unopened {
        /// How many.
        count: u64,
        /// Where the first one stands, and why it doesn't open.
        first: String,
    },
    /// Licenses of another server's can't be brought as they are.
    #[error(
        "{count} licenses or pages can't be brought as they are: mend that, or bring the others with --apply --leave-out"
    )]
    NotBrought {
        /// How many.
        count: usize,
    },
    /// Lines that couldn't be read have been answered as such.
    #[error("{count} of the lines can't be read; each is answered by what is wrong with it")]
    Unread {
        /// How many.
        count: u64,
    },
}

/// What to do where a machine's request by file is refused.
fn of_refusal(code: Code, reason: Option<&str>) -> Option<&'static str> {
    match (code, reason) {
        (Code::LicenseRefused, _) => Some(
            "it has to be asked for with the key of a license of this server's that is neither revoked nor expired: \
             `license list`, `license reveal-key`",
        ),
        (Code::SeatsExhausted, _) => {
            Some("`install list` shows who holds them; `license change ID --max-installs N` makes more")
        }
        (Code::LeaseRefused, Some("lease_not_allowed")) => Some(
            "the profile's lease_max_seconds or the license's --lease-max-seconds is 0: `profile show`, `license show`",
        ),
        (Code::LeaseRefused, Some("lease_limit")) => Some(
            "so many of the license's installs are on a lease as its profile's lease_max_outstanding allows: \
             `lease list --license-id L --status live`",
        ),
        (Code::LeaseRefused, Some("lease_revoked")) => Some(
            "the last one was revoked, and this machine gets no other before its end: `lease list --install-id I`",
        ),
        (Code::LeaseRefused, _) => Some("only a machine in order gets one: `license show`, `install show`"),
        _ => None,
    }
}

impl From<admin::Error> for Error {
    fn from(error: admin::Error) -> Self {
        match error {
            admin::Error::Store(error) => Self::Store(error),
            error => Self::Admin(error),
        }
    }
}

impl Error {
    /// For `map_err`: what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }

    /// What to do, where the error itself doesn't say it.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Store(store::Error::Unavailable(_)) => {
                Some("is PostgreSQL running where QT_DATABASE_URL says?")
            }
            // It says what to do itself.
            Self::Store(store::Error::Keyring(keyring::Error::Kms { .. })) => None,
            Self::Store(store::Error::Keyring(keyring::Error::AllowanceSpent)) => {
                Some("`qubictether keys rotate --data` makes the next data key")
            }
            Self::Store(store::Error::Keyring(_)) => Some(
                "QT_KEY_PROVIDER, and QT_KEK_FILE or QT_KMS_KEY_ID, have to name the key by which `qubictether init` or \
                 `qubictether keys rewrap` wrapped the keys of this database",
            ),
            Self::Keyring(
                keyring::Error::KeyFileUnreadable { .. } | keyring::Error::KeyFileLength { .. },
            ) => Some("QT_KEK_FILE has to be the file that `qubictether init` made for this database"),
            Self::Io { cause, .. } if cause.kind() == ErrorKind::AlreadyExists => {
                Some("name a file that isn't there yet")
            }
            Self::Admin(admin::Error::Refused(refusal)) => of_refusal(refusal.code(), refusal.reason()),
            _ => None,
        }
    }

    /// 1 failed, 2 usage or bad input, 3 not found, 4 conflict or refused, 5 database or keys not available.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_)
            | Self::Settings(_)
            | Self::NotBrought { .. }
            | Self::Admin(admin::Error::Invalid(_))
            | Self::Store(store::Error::Settings(_))
            | Self::Keyring(
                keyring::Error::RootFileUnreadable { .. }
                | keyring::Error::RootFileUnwritable { .. }
                | keyring::Error::RootFileContent { .. },
            ) => 2,
            Self::Admin(admin::Error::NotFound { .. }) => 3,
            Self::Admin(admin::Error::Refused(refusal)) if refusal.code() == Code::Malformed => 2,
            Self::Admin(admin::Error::Refused(refusal)) if refusal.code().status() >= 500 => 5,
            Self::Admin(
                admin::Error::Conflict(_)
                | admin::Error::Conflicts(_)
                | admin::Error::Stale
                | admin::Error::Refused(_),
            ) => 4,
            Self::Store(
                store::Error::Unavailable(_)
                | store::Error::NotMigrated(_)
                | store::Error::NoKeys
                | store::Error::Keyring(_),
            )
            | Self::Keyring(_)
            | Self::Cluster(_) => 5,
            Self::Admin(_)
            | Self::Store(_)
            | Self::Io { .. }
            | Self::Tampered { .. }
            | Self::Restore { .. }
            | Self::Unopened { .. }
            | Self::Unread { .. } => 1,
        })
    }
}
