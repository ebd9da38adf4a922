//! Why an operator's wish isn't done.

use edge::Refusal;
use policy::Fault;
use protocol::problem::{Code, FieldError};

/// A wish that isn't done. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Values that aren't as described; each with a JSON pointer to where it stands.
    #[error("{}", listed(.0))]
    Invalid(Vec<FieldError>),
    /// There is no such thing.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// What it is forbids it.
    #[error("{0}")]
    Conflict(String),
    /// What some of several things are forbids it; each with a JSON pointer to where it was named.
    #[error("{}", listed(.0))]
    Conflicts(Vec<FieldError>),
    /// It has changed since whoever wants this has read it.
    #[error("it has changed since it was read")]
    Stale,
    /// Whoever asks may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Too many attempts have failed: the next one is looked at after so many seconds.
    #[error("too many attempts have failed; try again in {0} s")]
    Wait(u64),
    /// There is more to do than can be held.
    #[error("there is more to do than can be held")]
    Overloaded,
    /// What is kept or told can't be written or read as JSON: a fault of ours.
    #[error("a value can't be written or read as JSON")]
    Json(#[source] serde_json::Error),
    /// What the protocol's own rules refuse.
    #[error("{}", told(.0))]
    Refused(Refusal),
    /// The database's side.
    #[error(transparent)]
    Store(store::Error),
}

impl Error {
    pub(crate) fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { pointer: pointer.to_owned(), detail: detail.into() }])
    }

    pub(crate) fn not_found(what: &'static str, id: &impl ToString) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Exists { .. }
            | store::Error::RootAbsent { .. }
            | store::Error::KeyNeeded { .. } => Self::Conflict(error.to_string()),
            store::Error::KeyUnknown(key) => Self::NotFound { what: "key", id: key.to_string() },
            store::Error::SigningKeys(error) => crate::signing_key::refused(error),
            error => Self::Store(error),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(errors) => Self::invalid(errors),
            Error::NotFound { what, .. } => Self::new(Code::NotFound, format!("There is no such {what}.")),
            Error::Conflict(why) => Self::new(Code::Conflict, why),
            Error::Conflicts(errors) => Self::conflicts(errors),
            Error::Stale => Self::new(Code::PreconditionFailed, "It has changed since it was read."),
            Error::Forbidden(why) => Self::forbidden(why),
            Error::Wait(seconds) => Self::slow_down(seconds),
            Error::Overloaded => Self::overloaded(),
            Error::Refused(refusal) => refusal,
            Error::Store(error) => error.into(),
            Error::Json(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
                Self::internal()
            }
        }
    }
}

/// Refused knobs, whose pointers are into the body's member `knobs`.
pub(crate) fn knobs(errors: Vec<Fault>) -> Error {
    let field =
        |error: Fault| FieldError { pointer: format!("/knobs{}", error.pointer), detail: error.detail };
    Error::Invalid(errors.into_iter().map(field).collect())
}

/// `lease_refused (lease_limit): No lease is granted now`: what to do follows.
fn told(refusal: &Refusal) -> String {
    let reason = refusal.reason().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("{}{reason}: {}", refusal.code(), refusal.detail().trim_end_matches('.'))
}

fn listed(errors: &[FieldError]) -> String {
    // The pointer to the whole is empty.
    let one = |error: &FieldError| format!("{} {}", error.pointer, error.detail).trim_start().to_owned();
    errors.iter().map(one).collect::<Vec<_>>().join("; ")
}
