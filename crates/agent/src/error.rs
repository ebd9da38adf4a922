use std::{error::Error as StdError, io, path::PathBuf};

use protocol::{problem::Code, token::TokenError};

use crate::refusal::Refusal;

/// What ends an operation of the agent.
///
/// None of it moves the agent's state: that follows the ladder of the newest verified decision. Texts of servers
/// are never repeated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no install in the state folder.
    #[error("this machine is not activated")]
    NotActivated,
    /// The server refused every secret that the agent holds, or the counters are used up.
    #[error("the server doesn't know this install's secret: activation is needed")]
    ActivationNeeded,
    /// There is no lease that could be returned.
    #[error("this machine holds no lease")]
    NoLease,
    /// A request by file needs a license key, and none was given or kept.
    #[error("a license key is needed")]
    NoLicenseKey,

    /// A file or a folder couldn't be used; the cause is the operating system's.
    #[error("{} can't be {action}", path.display())]
    Folder {
        /// What was to be done to it, as a participle.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the state folder isn't what an agent of this version wrote there.
    #[error("{} isn't what an agent wrote: {why}; move it away and activate again", file.display())]
    Corrupt {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The state is another server's, another product's, or under another root key.
    #[error("{} belongs to another issuer, product or root key: give the agent another folder", file.display())]
    Foreign {
        /// Which.
        file: PathBuf,
    },
    /// The folder holds things that aren't an agent's, and others may look into it.
    #[error("{} is open to others and not an agent's: give the agent a folder of its own, mode 0700", folder.display())]
    NotPrivate {
        /// Which.
        folder: PathBuf,
    },
    /// Another process has held the folder's lock for longer than any attempt takes.
    #[error("another process keeps {} locked", folder.display())]
    Busy {
        /// Which.
        folder: PathBuf,
    },
    /// Another process runs the agent of this folder.
    #[error("an agent is running already in {}", folder.display())]
    Running {
        /// Which.
        folder: PathBuf,
    },
    /// The machine shows nothing that could identify it, or the vendor's file of components isn't as described.
    #[error("no fingerprint: {why}")]
    Fingerprint {
        /// Why not.
        why: String,
    },

    /// No answer came.
    #[error("the server was not reached")]
    Unreachable(#[source] Box<dyn StdError + Send + Sync>),
    /// No answer came in time.
    #[error("the server didn't answer in time")]
    TimedOut,
    /// The answer was longer than any that the protocol knows.
    #[error("the answer is too long")]
    TooLong,
    /// The answer is none of the protocol's.
    #[error("the answer is not as described (status {status})")]
    Unreadable {
        /// The HTTP status that it came with.
        status: u16,
    },
    /// The answer's token isn't believed.
    #[error("the answer's token is refused")]
    Token(#[source] TokenError),
    /// The keyset isn't believed.
    #[error("the keyset is refused")]
    Keyset(#[source] TokenError),
    /// The keyset is older than one that was seen.
    #[error("the keyset is older than the newest that was seen")]
    KeysetRollback,
    /// The answer by file opens with the key of no request that waits for one: it is for another machine, was taken
    /// before, or was changed.
    #[error("the reply answers no request that was made here, or was imported before")]
    UnknownReply,
    /// The server grants no lease. It isn't signed, so it decides nothing.
    #[error("the server grants no lease: {0}")]
    LeaseRefused(Refusal),
    /// The server refused; its answer isn't signed, so it decides nothing.
    #[error("the server answered {status}: {}", code.map_or("not as a license server does", Code::title))]
    Problem {
        /// The HTTP status.
        status: u16,
        /// The problem, if it is one that is known.
        code: Option<Code>,
        /// For how many seconds the server asks not to be asked again.
        retry_after: Option<u64>,
    },
}

impl Error {
    /// Whether the server wasn't reached, or what it answered isn't a decision that is believed: the agent tries
    /// again, and its state follows the ladder.
    pub const fn is_no_contact(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::TimedOut
                | Self::TooLong
                | Self::Unreadable { .. }
                | Self::Token(_)
                | Self::Keyset(_)
                | Self::KeysetRollback
                | Self::UnknownReply
                | Self::Problem { .. }
        )
    }

    /// Whether it may be otherwise next time, without anybody's doing.
    pub(crate) const fn is_transient(&self) -> bool {
        !matches!(
            self,
            Self::NotActivated
                | Self::Corrupt { .. }
                | Self::Foreign { .. }
                | Self::NotPrivate { .. }
                | Self::Running { .. }
        )
    }

    /// Lets pass what is transient.
    pub(crate) fn pass(self) -> Result<(), Self> {
        if self.is_transient() { Ok(()) } else { Err(self) }
    }

    /// For how many seconds the server asks not to be asked again.
    pub const fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Problem { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The message and those of its causes in one line, for people.
    pub fn in_one_line(&self) -> String {
        const LONGEST: usize = 300;
        let causes =
            std::iter::successors(Some(self as &(dyn StdError + 'static)), |error| (*error).source());
        let texts: Vec<_> = causes.map(ToString::to_string).collect();
        texts.join(": ").chars().filter(|character| !character.is_control()).take(LONGEST).collect()
    }
}
