use std::{io, path::PathBuf};

use crate::{Context, KmsFault, kms::Said};

/// Why a key or a sealed value can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no password for a database that lets its users in by IAM.
    #[error("no token for the database can be made")]
    RdsToken {
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file with the key-encryption key isn't there or can't be read.
    #[error("key file {} can't be read", path.display())]
    KeyFileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file with a new key-encryption key can't be written; where one is there already it is left as it is.
    #[error("key file {} can't be written", path.display())]
    KeyFileUnwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner may read, write or run the key file.
    #[error("key file {0} is open to others than its owner (mode {mode:04o}): chmod 600 {0}", path.display())]
    KeyFileMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file doesn't hold exactly 32 bytes.
    #[error("key file {} doesn't hold exactly 32 bytes", path.display())]
    KeyFileLength {
        /// The file.
        path: PathBuf,
    },
    /// A file of root keys isn't there or can't be read.
    #[error("root key file {} can't be read", path.display())]
    RootFileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of root keys can't be written; where one is there already it is left as it is.
    #[error("root key file {} can't be written", path.display())]
    RootFileUnwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else than root keys.
    #[error("root key file {} isn't what `keys export-root` writes: private keys as JWKs, one a line", path.display())]
    RootFileContent {
        /// The file.
        path: PathBuf,
    },
    /// Wrapped by another key-encryption key or for another context, or changed since.
    #[error("key-encryption key {provider} doesn't unwrap {context}")]
    Unwrap {
        /// The [`id`](crate::KeyEncryption::id) of the key-encryption key.
        provider: String,
        /// What should have been unwrapped.
        context: Context,
    },
    /// KMS doesn't do what it was asked, or isn't reached.
    #[error("KMS key {key} {fault}")]
    Kms {
        /// The key, as it was named.
        key: String,
        /// What is wrong, and what to do.
        fault: KmsFault,
        /// What was said.
        source: Option<Said>,
    },
    /// Not the name of a key of KMS.
    #[error("not a KMS key: its id, its ARN (arn:aws:kms:…:key/…), or an alias (alias/…)")]
    KmsKeyId,
    /// Not a [`Purpose`](crate::Purpose)'s name.
    #[error("not the purpose of a wrapped key")]
    Purpose,
    /// Not a [`KeyUse`](crate::signing::KeyUse)'s name.
    #[error("not the use of a signing key")]
    KeyUse,
    /// Too short to be a sealed value.
    #[error("not a sealed value")]
    NotSealed,
    /// Sealed under a data key that isn't in the keyring.
    #[error("there is no data key of version {0}")]
    UnknownVersion(u32),
    /// Sealed under a data key that was destroyed: it opens no more.
    #[error("data key {0} was destroyed: what was sealed under it can't be opened any more")]
    DestroyedVersion(u32),
    /// Sealed for another place or under another key, or changed since.
    #[error("sealed value does not open")]
    Open,
    /// This process may seal no more values until it is granted more; where none are granted, the data key is used up.
    #[error("the data key has sealed as many values as it may")]
    AllowanceSpent,
}

impl Error {
    /// Whether the same call may succeed later, without anybody's doing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Kms { fault, .. } if fault.is_transient())
    }
}
