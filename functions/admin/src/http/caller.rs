//! Who calls: a person by the session's cookie, a script by its key, or nobody.

use std::net::IpAddr;

use edge::{Edge, Refusal};
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};
use protocol::admin::{ActorKind, Role, Session, Time};
use store::{Actor, ApiKeyRow, SessionRow};

use crate::token;

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Nobody that is known.
    Nobody,
    /// A person who is signed in.
    Person(SessionRow),
    /// A script with its key.
    Script(ApiKeyRow),
}

impl Caller {
    /// Finds out who calls. A request that has both a key and a cookie is the key's: a cookie comes unasked.
    ///
    /// # Errors
    /// 401 when what it shows doesn't hold, or no longer.
    pub(super) async fn of(edge: &Edge, headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        match (given.next(), given.next()) {
            (None, _) => {}
            (Some(header), None) => {
                let hash = bearer(header).and_then(token::api_key_hash).ok_or_else(Refusal::unauthorized)?;
                let key = edge.store.use_api_key(&hash).await?.ok_or_else(Refusal::unauthorized)?;
                return Ok(Self::Script(key));
            }
            _ => return Err(Refusal::unauthorized()),
        }
        let Some(cookie) = cookie(headers, cookie_name(edge)) else { return Ok(Self::Nobody) };
        let hash = token::session_hash(cookie).ok_or_else(Refusal::unauthorized)?;
        let session = edge.store.use_session(&hash).await?.ok_or_else(Refusal::unauthorized)?;
        Ok(Self::Person(session))
    }

    /// What it may do; nobody may nothing.
    pub(super) fn role(&self) -> Option<Role> {
        match self {
            Self::Nobody => None,
            Self::Person(session) => Some(session.role),
            Self::Script(key) => Some(key.role),
        }
    }

    /// Who it is, for the audit log.
    pub(super) fn actor(&self, address: Option<IpAddr>) -> Option<Actor> {
        let (kind, id, name) = match self {
            Self::Nobody => return None,
            Self::Person(session) => (ActorKind::User, *session.user.as_uuid(), session.email.clone()),
            Self::Script(key) => (ActorKind::ApiKey, *key.id.as_uuid(), key.name.clone()),
        };
        Some(Actor { kind, id: Some(id), name, address })
    }

    /// Who it is, as it is told.
    pub(super) fn session(&self) -> Option<Session> {
        match self {
            Self::Nobody => None,
            Self::Person(session) => Some(Session {
                user_id: Some(session.user),
                api_key_id: None,
                name: session.email.clone(),
                role: session.role,
                totp: session.totp,
                expires_at: Some(Time(session.ends_at())),
            }),
            Self::Script(key) => Some(Session {
                user_id: None,
                api_key_id: Some(key.id),
                name: key.name.clone(),
                role: key.role,
                totp: false,
                expires_at: key.expires_at.map(Time),
            }),
        }
    }
}

/// The cookie's name: a browser keeps `__Host-` cookies only of a site that it reaches by TLS.
fn cookie_name(edge: &Edge) -> &'static str {
    if is_plain_loopback(&edge.settings.public_url) { "qt_session" } else { "__Host-qt_session" }
}

/// The header that gives a browser its session, or with none takes it away.
pub(super) fn set_cookie(edge: &Edge, token: Option<&str>) -> HeaderValue {
    let secure = if is_plain_loopback(&edge.settings.public_url) { "" } else { "; Secure" };
    let name = cookie_name(edge);
    let (value, life) = token.map_or(("", 0), |token| (token, store::SESSION_LIFE));
    let text = format!("{name}={value}; Path=/; Max-Age={life}; HttpOnly; SameSite=Strict{secure}");
    let mut header = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
    header.set_sensitive(true);
    header
}

/// Whether the server is reached without TLS, from its own machine only.
fn is_plain_loopback(public_url: &str) -> bool {
    let Some(rest) = public_url.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or(rest);
    let host =
        authority.parse::<http::uri::Authority>().map_or_else(|_| String::new(), |own| own.host().to_owned());
    let is_loopback = |address: IpAddr| address.is_loopback();
    host.eq_ignore_ascii_case("localhost") || host.trim_matches(['[', ']']).parse().is_ok_and(is_loopback)
}

fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The first cookie of a name.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::is_plain_loopback;

    #[test]
    fn only_a_machines_own_plain_address_goes_without_tls() {
        for url in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:80/x", "http://127.9.9.9"] {
            assert!(is_plain_loopback(url), "{url}");
        }
        for url in [
            "https://127.0.0.1",
            "http://license.example.com",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
        ] {
            assert!(!is_plain_loopback(url), "{url}");
        }
    }
}
