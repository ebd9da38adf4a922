//! What an answer that isn't a decision looks like: problem details (RFC 9457).

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Expected;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $title:literal;)+) => {
        /// Why a request was refused: stable names, each with one HTTP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The code as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The HTTP status that it comes with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// The member `title`: the same for every problem of this code.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// The member `type`: a URI that names the code.
            #[must_use]
            pub const fn type_uri(self) -> &'static str {
                match self { $(Self::$variant => concat!("urn:qubictether:problem:", $name)),+ }
            }
        }
    };
}

codes! {
    /// The body is no JSON text that is taken.
    Malformed = "malformed", 400, "Malformed body";
    /// The proof is missing, in another form, or doesn't verify.
    InvalidProof = "invalid_proof", 401, "Invalid proof";
    /// Nobody is signed in.
    Unauthorized = "unauthorized", 401, "Not signed in";
    /// The license key activates nothing.
    LicenseRefused = "license_refused", 403, "License refused";
    /// No lease is given; the member `reason` says why.
    LeaseRefused = "lease_refused", 403, "Lease refused";
    /// Whoever asks may not do this.
    Forbidden = "forbidden", 403, "Forbidden";
    /// There is nothing here.
    NotFound = "not_found", 404, "Not found";
    /// The path takes other methods.
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed";
    /// The nonce was accepted before.
    NonceReplayed = "nonce_replayed", 409, "Nonce replayed";
    /// A later attempt overtook this one.
    CounterStale = "counter_stale", 409, "Counter stale";
    /// Every seat of the license is taken.
    SeatsExhausted = "seats_exhausted", 409, "No seat is free";
    /// The machine was activated again too often.
    ReactivationLimit = "reactivation_limit", 409, "Reactivation limit reached";
    /// The resource's state doesn't allow this.
    Conflict = "conflict", 409, "Conflict";
    /// The resource was changed since it was read.
    PreconditionFailed = "precondition_failed", 412, "Precondition failed";
    /// The body or the headers are too long.
    TooLarge = "too_large", 413, "Too large";
    /// The body isn't declared as JSON.
    UnsupportedMediaType = "unsupported_media_type", 415, "Unsupported media type";
    /// Values are not as described; the member `errors` lists them.
    Invalid = "invalid", 422, "Invalid values";
    /// A change needs `If-Match`.
    PreconditionRequired = "precondition_required", 428, "Precondition required";
    /// Too many requests of one install, address or key.
    SlowDown = "slow_down", 429, "Slow down";
    /// The server's own fault, of which nothing more is told.
    Internal = "internal", 500, "Internal error";
    /// More than the server can do at the moment.
    Overloaded = "overloaded", 503, "Overloaded";
    /// Something that the server needs is away, or proofs are put off.
    Unavailable = "unavailable", 503, "Unavailable";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Code {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(Expected("a problem's code"))
    }
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where, as a JSON pointer (RFC 6901); of a member that is missing, its own.
    pub pointer: String,
    /// What was expected there. Never repeats what came.
    pub detail: String,
}

/// The body of a refusal, `application/problem+json`.
///
/// `code` is text, so that an agent reads answers of servers that know more codes than it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI that names the code.
    #[serde(rename = "type")]
    pub type_uri: Cow<'static, str>,
    /// The code for people.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// This case for people.
    pub detail: Cow<'static, str>,
    /// The code for programs.
    pub code: Cow<'static, str>,
    /// What finds the request in the server's log.
    pub request_id: String,
    /// The server's clock in Unix seconds.
    pub server_time: i64,
    /// What is wrong with the values, of `invalid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Why, of `lease_refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Problem {
    /// The problem of this code.
    #[must_use]
    pub fn new(
        code: Code,
        detail: impl Into<Cow<'static, str>>,
        request_id: String,
        server_time: i64,
    ) -> Self {
        Self {
            type_uri: code.type_uri().into(),
            title: code.title().into(),
            status: code.status(),
            detail: detail.into(),
            code: code.as_str().into(),
            request_id,
            server_time,
            errors: Vec::new(),
            reason: None,
        }
    }

    /// The code, if it is one that is known here.
    #[must_use]
    pub fn known_code(&self) -> Option<Code> {
        self.code.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_documented_status() {
        let documented = [
            (400, "malformed"),
            (401, "invalid_proof unauthorized"),
            (403, "license_refused lease_refused forbidden"),
            (404, "not_found"),
            (405, "method_not_allowed"),
            (409, "nonce_replayed counter_stale seats_exhausted reactivation_limit conflict"),
            (412, "precondition_failed"),
            (413, "too_large"),
            (415, "unsupported_media_type"),
            (422, "invalid"),
            (428, "precondition_required"),
            (429, "slow_down"),
            (500, "internal"),
            (503, "overloaded unavailable"),
        ];
        let mut seen = 0;
        for (status, names) in documented {
            for name in names.split(' ') {
                let code: Code = name.parse().unwrap();
                assert_eq!((code.status(), code.as_str(), code.to_string()), (status, name, name.to_owned()));
                assert_eq!(code.type_uri(), format!("urn:qubictether:problem:{name}"));
                seen += 1;
            }
        }
        assert_eq!(seen, Code::ALL.len());
        assert!("other".parse::<Code>().is_err());
    }

    #[test]
    fn a_problem_has_its_optional_members_only_where_they_say_something() {
        let mut problem = Problem::new(Code::Invalid, "Two values are wrong.", "r-1".into(), 1_790_000_123);
        let bare = serde_json::to_string(&problem).unwrap();
        assert_eq!(
            bare,
            "{\"type\":\"urn:qubictether:problem:invalid\",\"title\":\"Invalid values\",\"status\":422,\
             \"detail\":\"Two values are wrong.\",\"code\":\"invalid\",\"request_id\":\"r-1\",\
             \"server_time\":1790000123}"
        );
        assert_eq!(serde_json::from_str::<Problem>(&bare).unwrap(), problem);
        problem.errors.push(FieldError { pointer: "/a".into(), detail: "expected b".into() });
        problem.reason = Some("lease_limit".into());
        let full = serde_json::to_string(&problem).unwrap();
        assert!(
            full.ends_with(r#","errors":[{"pointer":"/a","detail":"expected b"}],"reason":"lease_limit"}"#)
        );
        assert_eq!(serde_json::from_str::<Problem>(&full).unwrap(), problem);
    }

    #[test]
    fn a_code_of_a_later_version_still_reads() {
        let text = r#"{"type":"x","title":"","status":418,"detail":"","code":"teapot","request_id":"","server_time":1}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!((problem.known_code(), problem.status), (None, 418));
    }
}
