//! How the program ends.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use policy::State;
use protocol::{problem::Code, token::TokenError};
use qubictether_agent::{Error, Status};

const NOT_ACTIVATED: u8 = 3;

const TRY_AGAIN: &str = "try again later";

/// The exit status of `status`, and of `beat` where it was heard.
pub(crate) fn of_status(status: &Status) -> ExitCode {
    let code = match status.state {
        _ if status.activation_needed => NOT_ACTIVATED,
        None => NOT_ACTIVATED,
        Some(State::Authorized | State::Warned | State::Leased) => 0,
        Some(State::Grace) => 20,
        Some(State::Degraded) => 21,
        Some(State::Pending) => 22,
        Some(State::Locked) => 23,
        Some(State::Quarantined) => 24,
        Some(State::Suspended) => 25,
        Some(State::Revoked) => 26,
    };
    ExitCode::from(code)
}

/// Why the program ends otherwise than asked: what happened, and what to do.
pub(crate) enum Failure {
    /// Something is wrong with the arguments.
    Usage(String),
    /// There is no activation that the server knows.
    NotActivated(String),
    /// The server was not reached or its answer is refused.
    NoContact(String),
    /// Anything else.
    Other(String),
}

impl Failure {
    /// Says it on standard error, in one line.
    pub(crate) fn exit(self) -> ExitCode {
        let (code, text) = match self {
            Self::Usage(text) => (2, text),
            Self::NotActivated(text) => (NOT_ACTIVATED, text),
            Self::NoContact(text) => (4, text),
            Self::Other(text) => (1, text),
        };
        let _unheard = writeln!(io::stderr(), "qubictether-agent: {text}");
        ExitCode::from(code)
    }

    /// An activation that was refused leaves the machine as it was: not activated.
    pub(crate) fn of_activation(error: Error) -> Self {
        let Error::Problem { code: Some(code), .. } = &error else { return error.into() };
        let remedy = match code {
            Code::LicenseRefused => {
                "check the license key, and that the license is neither revoked nor expired"
            }
            Code::SeatsExhausted => "deactivate another machine, or ask for more seats",
            Code::ReactivationLimit => "ask the operator to reset this install",
            _ => return error.into(),
        };
        Self::NotActivated(format!("{}; {remedy}", error.in_one_line()))
    }
}

/// What remedies there are about leases.
impl Failure {
    /// A return that the server knows nothing of.
    pub(crate) fn of_return(error: Error) -> Self {
        match error {
            Error::Problem { code: Some(Code::NotFound), .. } => Self::Other(
                "the server knows no such lease: it has ended, or another took its place; beat to see what holds"
                    .into(),
            ),
            error => error.into(),
        }
    }

    /// An answer by file that isn't taken: trying again doesn't help.
    pub(crate) fn of_import(error: Error) -> Self {
        if !error.is_no_contact() {
            return error.into();
        }
        let remedy = match remedy(&error) {
            TRY_AGAIN => "ask again: qubictether-agent lease request FILE",
            remedy => remedy,
        };
        Self::NoContact(format!("{}; nothing was changed; {remedy}", error.in_one_line()))
    }
}

/// What to do where the server wasn't heard, or isn't believed.
const fn remedy(error: &Error) -> &'static str {
    match error {
        Error::Keyset(TokenError::UnknownKey) => {
            "is this the right server? compare --root-key with the root key that its operator has"
        }
        Error::Keyset(TokenError::Issuer(_)) | Error::Token(TokenError::Issuer(_)) => {
            "the server's public URL has to be --server's, or else be given as --issuer"
        }
        Error::Token(TokenError::Audience) => "compare --product with what the license is for",
        Error::Problem { status: 300..400, .. } => {
            "redirects aren't followed: --server has to be the URL that it leads to"
        }
        Error::Problem { code: None, status: 400..500, .. } => {
            "is --server a license server's URL? does something stand in front of it?"
        }
        Error::Problem {
            code: Some(Code::Malformed | Code::Invalid | Code::MethodNotAllowed | Code::UnsupportedMediaType),
            ..
        } => "bring agent and server to versions that fit each other",
        _ => TRY_AGAIN,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.in_one_line();
        match error {
            Error::NotActivated | Error::ActivationNeeded => {
                Self::NotActivated(format!("{text}; run: qubictether-agent activate --license-key-file FILE"))
            }
            Error::NoLease => Self::Other(format!("{text}; take one: qubictether-agent lease take")),
            Error::NoLicenseKey => {
                Self::Usage(format!("{text}: --license-key-file F, or - for standard input"))
            }
            Error::LeaseRefused(refusal) => Self::Other(format!("{text}; {}", refusal.remedy())),
            error if error.is_no_contact() => Self::NoContact(format!("{text}; {}", remedy(&error))),
            _ => Self::Other(text),
        }
    }
}

/// What holds, in lines for people.
pub(crate) fn for_people(status: &Status) -> String {
    let (Some(state), Some(rule), Some(reason)) = (status.state, status.rule, &status.reason) else {
        return "not activated".to_owned();
    };
    let mut lines = vec![format!("{state} (rule {rule}, {reason}) at {}", status.at)];
    let mut line =
        |name: &str, value: Option<String>| lines.extend(value.map(|value| format!("{name}: {value}")));
    line("install", status.install_id.map(|id| id.to_string()));
    line("license", status.license_id.map(|id| id.to_string()));
    line("last contact", status.last_contact.map(|at| at.to_string()));
    line("next heartbeat", status.next_heartbeat_at.map(|at| at.to_string()));
    line("lease", status.lease.as_ref().map(|lease| format!("{} until {}", lease.id, lease.until)));
    for rung in status.ladder.iter().filter(|rung| rung.at > status.at) {
        line("then", Some(format!("{} (rule {}, {}) at {}", rung.state, rung.rule, rung.reason, rung.at)));
    }
    line("entitlements", status.entitlements.as_ref().map(ToString::to_string));
    line("activation", status.activation_needed.then(|| "needed".to_owned()));
    line("last error", status.last_error.clone());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_wrongly_is_not_only_to_be_tried_again() {
        let answered = |status, code| Error::Problem { status, code, retry_after: None };
        for (error, names) in [
            (Error::Keyset(TokenError::UnknownKey), "--root-key"),
            (Error::Keyset(TokenError::Issuer("http://its.own".into())), "http://its.own"),
            (Error::Token(TokenError::Issuer("http://its.own".into())), "--issuer"),
            (Error::Token(TokenError::Audience), "--product"),
            (answered(301, None), "redirect"),
            (answered(404, None), "--server"),
            (answered(415, Some(Code::UnsupportedMediaType)), "versions"),
            (answered(500, None), "try again later"),
            (answered(503, Some(Code::Unavailable)), "try again later"),
            (Error::TimedOut, "try again later"),
        ] {
            let Failure::NoContact(text) = Failure::from(error) else { panic!("a contact") };
            assert!(text.contains(names) && (names == TRY_AGAIN) == text.contains(TRY_AGAIN), "{text}");
        }
    }

    #[test]
    fn an_answer_by_file_that_is_refused_is_asked_for_again_not_tried_again() {
        for (error, names) in [
            (Error::UnknownReply, "lease request FILE"),
            (Error::Keyset(TokenError::UnknownKey), "--root-key"),
        ] {
            let Failure::NoContact(text) = Failure::of_import(error) else { panic!("taken") };
            assert!(text.contains("nothing was changed; ") && text.contains(names), "{text}");
            assert!(!text.contains(TRY_AGAIN), "{text}");
        }
    }
}
