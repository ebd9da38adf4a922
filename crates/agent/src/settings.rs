//! What an agent has to be told once.

use std::{fmt, net::IpAddr, path::Path, str::FromStr};

use http::Uri;
use jose_jwt::PublicKey;
use protocol::{Expected, ProductCode};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    fingerprint::Source,
    folder::{Folder, SETTINGS},
};

/// Whom an agent speaks for and whom it believes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where the server is.
    #[serde(with = "spelled")]
    pub server: ServerUrl,
    /// The `iss` that everything signed must have.
    pub issuer: String,
    /// What is licensed.
    pub product: ProductCode,
    /// The pinned root key: whoever controls DNS and TLS still can't play the server.
    #[serde(with = "spelled")]
    pub root_key: PublicKey,
    /// What identifies the machine.
    #[serde(with = "spelled")]
    pub fingerprint: Source,
}

impl Settings {
    /// Settings for a server whose `iss` is its URL, on a machine that is identified by its hardware.
    pub fn new(server: ServerUrl, product: ProductCode, root_key: PublicKey) -> Self {
        let issuer = server.as_str().to_owned();
        Self { server, issuer, product, root_key, fingerprint: Source::Machine }
    }

    /// The settings that an activation kept in a state folder.
    pub fn kept_in(state: &Path) -> Result<Option<Self>, Error> {
        Folder::at(state.to_owned()).read(SETTINGS)
    }
}

/// Where a server is: an `http` or `https` URL, to which the protocol's paths are appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    text: String,
    uri: Uri,
}

impl ServerUrl {
    /// The URL as it was given, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether everything on the way can be read and changed by others: no TLS, and not this machine.
    pub fn is_exposed(&self) -> bool {
        let host = self.uri.host().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let here = address.map_or(host == "localhost", |address| address.is_loopback());
        self.uri.scheme_str() == Some("http") && !here
    }

    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }
}

impl FromStr for ServerUrl {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        const EXPECTED: Expected =
            Expected("a URL: http:// or https://, a host, and perhaps a port and a path");
        let text = text.trim_end_matches('/');
        let uri: Uri = text.parse().map_err(|_| EXPECTED)?;
        let valid = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && !text.contains(['?', '#']);
        if valid { Ok(Self { text: text.to_owned(), uri }) } else { Err(EXPECTED) }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Values that are written as they are printed, for serde.
pub(crate) mod spelled {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_http_url_without_user_query_and_fragment() {
        for (url, path) in [
            ("https://license.example.com", "https://license.example.com/v1/heartbeat"),
            ("https://example.com/licenses/", "https://example.com/licenses/v1/heartbeat"),
            ("http://[::1]:8080", "http://[::1]:8080/v1/heartbeat"),
        ] {
            assert_eq!(url.parse::<ServerUrl>().unwrap().join("/v1/heartbeat"), path);
        }
        for other in
            ["", "example.com", "/v1", "ftp://a", "http://", "http://a?b", "http://a/#b", "http://u@a", "a b"]
        {
            assert!(other.parse::<ServerUrl>().is_err(), "{other}");
        }
    }

    #[test]
    fn only_plain_http_to_elsewhere_is_exposed() {
        let exposed = |url: &str| url.parse::<ServerUrl>().unwrap().is_exposed();
        assert!(exposed("http://license.example.com") && exposed("http://10.0.0.1:80"));
        for url in ["https://a", "http://localhost:1", "http://127.9.9.9", "http://[::1]:2"] {
            assert!(!exposed(url), "{url}");
        }
    }
}
