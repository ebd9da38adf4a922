//! The answers that agents get. Only what is signed is authority; the rest repeats it for people.

use std::fmt;

use policy::State;
use serde::{Deserialize, Serialize};

use crate::{InstallId, LeaseId, LicenseId, Secret};

/// A compact JWS or JWE. It is whose it is shown by, so `Debug` doesn't print it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CompactJose(pub String);

impl CompactJose {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for CompactJose {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for CompactJose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompactJose(..)")
    }
}

/// 201 of `POST /v1/activate`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivateResponse {
    /// Who this machine is from now on.
    pub install_id: InstallId,
    /// The license that the key was of.
    pub license_id: LicenseId,
    /// What proofs are made with from now on.
    pub secret: Secret,
    /// 0: the first attempt is number 1.
    pub counter: u64,
    /// What the token says.
    pub state: State,
    /// Seconds until the next heartbeat.
    pub next_heartbeat_in: i64,
    /// The server's clock in Unix seconds.
    pub server_time: i64,
    /// The signed decision.
    pub token: CompactJose,
}

/// 200 of `POST /v1/heartbeat` and of a lease's return
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionResponse {
    /// What the token says.
    pub state: State,
    /// Seconds until the next heartbeat.
    pub next_heartbeat_in: i64,
    /// The server's clock in Unix seconds.
    pub server_time: i64,
    /// The signed decision.
    pub token: CompactJose,
}

/// 200 of `POST /v1/rekey`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RekeyResponse {
    /// What proofs are to be made with; the old one serves until this one is first used.
    pub secret: Secret,
    /// The request's own counter.
    pub counter: u64,
    /// The server's clock in Unix seconds.
    pub server_time: i64,
}

/// 201 of `POST /v1/leases`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseResponse {
    /// The lease.
    pub lease_id: LeaseId,
    /// The lease as a compact JWE, which the install's secret opens.
    pub artifact: CompactJose,
    /// Its end in Unix seconds.
    pub expires_at: i64,
    /// The server's clock in Unix seconds.
    pub server_time: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_prints_neither_its_secret_nor_its_token() {
        let text = r#"{"install_id":"0192f0a1-7c3b-7d52-9e0a-5b1c2d3e4f50",
            "license_id":"0192f0a1-0000-7aaa-8bbb-0123456789ab",
            "secret":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","counter":0,"state":"authorized",
            "next_heartbeat_in":300,"server_time":1790000123,"token":"e30.e30.AAAA","more":1}"#;
        let answer: ActivateResponse = serde_json::from_str(text).unwrap();
        let printed = format!("{answer:?}");
        assert!(!printed.contains("AAEC") && !printed.contains("e30"));
        let written = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<ActivateResponse>(&written).unwrap(), answer);
        assert!(written.contains(r#""token":"e30.e30.AAAA""#));
    }
}
