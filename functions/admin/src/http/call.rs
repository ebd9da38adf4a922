//! A request on its way to its handler: who calls, whether he may, what he asks for.
//!
//! The order: who calls (401), from where (403), what he may (403), the query (422), the body's size (413). The handler
//! reads the rest. Nothing is read of a body whose sender may not send it.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::RequestExt;
use axum::extract::{RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use edge::address::ClientAddress;
use edge::envelope::{content_type, parse_json, read_body_up_to};
use edge::{Edge, Refusal, answer};
use http::header::{ETAG, HeaderName, IF_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use protocol::admin::{Page, Role, Versioned};
use protocol::json::{self, Reader};
use protocol::problem::{Code, FieldError};
use serde::Serialize;
use sha2::{Digest, Sha256};
use store::{Actor, Once};

use super::caller::Caller;
use super::origin::{self, Origin};
use super::query::{Asked, Cursor, Query};
use super::route::{Access, Header, Route};
use crate::operator::{Expected, Operator};
use crate::password::Passwords;

/// The most that a request's body may have, bytes.
const BODY_LIMIT: usize = 1024 * 1024;

static REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request that may be done.
pub(crate) struct Call {
    pub(crate) edge: Arc<Edge>,
    pub(crate) caller: Caller,
    pub(crate) address: Option<IpAddr>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    route: Arc<Route>,
    path: String,
    id: Option<String>,
    number: Option<String>,
    body: Bytes,
}

impl Call {
    /// Lets a request in.
    ///
    /// # Errors
    /// Whatever it is refused with.
    pub(super) async fn admit(
        edge: Arc<Edge>,
        route: &Arc<Route>,
        passwords: Arc<Passwords>,
        mut request: Request,
    ) -> Result<Self, Refusal> {
        let caller = match route.access {
            Access::Public | Access::SignIn => Caller::Nobody,
            Access::SignedIn | Access::Role(_) => Caller::of(&edge, request.headers()).await?,
        };
        if route.access != Access::Public {
            require_origin(&edge, request.headers())?;
        }
        let from_browser = matches!(caller, Caller::Person(_)) || route.access == Access::SignIn;
        if from_browser && route.verb != "get" {
            require_site(request.headers())?;
        }
        require_role(route.access, caller.role())?;
        let params = request.extract_parts::<RawPathParams>().await.ok();
        let mut params = params.iter().flatten().map(|(_, value)| value.to_owned());
        let (id, number) = (params.next(), params.next());
        let (parts, body) = request.into_parts();
        let query = Query::read(parts.uri.query().unwrap_or_default(), route)?;
        let body = match route.body {
            Some(_) => read_body_up_to(BODY_LIMIT, &parts.headers, body).await?,
            None => Bytes::new(),
        };
        let address = parts.extensions.get::<ClientAddress>().map(|address| address.0);
        let path = parts.uri.path().to_owned();
        let (route, headers) = (route.clone(), parts.headers);
        Ok(Self { edge, caller, address, passwords, query, headers, route, path, id, number, body })
    }

    /// Whoever calls, as the one who wants something done.
    ///
    /// # Errors
    /// 401 when nobody calls; 422 when the `Idempotency-Key` can't be one.
    pub(crate) fn operator(&self) -> Result<Operator<'_>, Refusal> {
        Ok(Operator { store: &self.edge.store, actor: self.actor()?, once: self.once()? })
    }

    /// Who calls, for the audit log.
    ///
    /// # Errors
    /// 401 when nobody does.
    pub(crate) fn actor(&self) -> Result<Actor, Refusal> {
        self.caller.actor(self.address).ok_or_else(Refusal::unauthorized)
    }

    /// What `Idempotency-Key` says, where the route takes it: one caller's key, for one path.
    fn once(&self) -> Result<Option<Once>, Refusal> {
        if !self.route.headers.contains(&Header::IdempotencyKey) {
            return Ok(None);
        }
        let Some(key) = self.headers.get(&IDEMPOTENCY_KEY) else { return Ok(None) };
        let key = key.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
        let Some(key) = key else {
            let detail = "expected 1 to 255 printable ASCII characters".to_owned();
            return Err(Refusal::invalid(vec![FieldError {
                pointer: "/Idempotency-Key".to_owned(),
                detail,
            }]));
        };
        let caller = self.actor()?.id.map(|id| id.to_string()).unwrap_or_default();
        let key = format!("{caller}\n{} {}\n{key}", self.route.verb, self.path);
        Ok(Some(Once { key, body: Sha256::digest(&self.body).into() }))
    }

    /// The versions that `If-Match` names.
    ///
    /// # Errors
    /// 428 when the route wants the header, and it isn't there.
    pub(crate) fn expected(&self) -> Result<Expected, Refusal> {
        if !self.headers.contains_key(IF_MATCH) {
            if self.route.headers.contains(&Header::IfMatchRequired) {
                let detail = "Send If-Match with the ETag of what you have read.";
                return Err(Refusal::new(Code::PreconditionRequired, detail));
            }
            return Ok(Expected::ANY);
        }
        let texts = self.headers.get_all(IF_MATCH).iter().map(|header| header.to_str().unwrap_or_default());
        let tags: Vec<&str> = texts.flat_map(|text| text.split(',')).map(str::trim).collect();
        if tags == ["*"] {
            return Ok(Expected::ANY);
        }
        // A weak tag never matches here (RFC 9110 section 13.1.1), nor does one that was never given out.
        let version = |tag: &str| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
        Ok(Expected::one_of(tags.into_iter().filter_map(version).collect()))
    }

    /// The id in the path.
    ///
    /// # Errors
    /// 404 when it is none: nothing is there.
    pub(crate) fn id<T: FromStr>(&self) -> Result<T, Refusal> {
        let id = self.id.as_deref().and_then(|id| id.parse().ok());
        id.ok_or_else(|| Refusal::new(Code::NotFound, "There is nothing of this id."))
    }

    /// The id of a part, which stands second in the path.
    ///
    /// # Errors
    /// 404 when it is none: nothing is there.
    pub(crate) fn part<T: FromStr>(&self) -> Result<T, Refusal> {
        let id = self.number.as_deref().and_then(|id| id.parse().ok());
        id.ok_or_else(|| Refusal::new(Code::NotFound, "There is nothing of this id."))
    }

    /// What stands in the path, whatever it is.
    ///
    /// # Errors
    /// 404 when it is no text.
    pub(crate) fn name(&self) -> Result<&str, Refusal> {
        self.id.as_deref().ok_or_else(|| Refusal::new(Code::NotFound, "There is nothing of this name."))
    }

    /// The body as it came, once it is JSON.
    ///
    /// # Errors
    /// 415 or 400.
    pub(crate) fn raw_body(&self) -> Result<&[u8], Refusal> {
        parse_json(content_type(&self.headers), &self.body)?;
        Ok(&self.body)
    }

    /// The version's number in the path.
    ///
    /// # Errors
    /// 404 when it is none.
    pub(crate) fn number(&self) -> Result<i32, Refusal> {
        let number = self.number.as_deref().and_then(|number| number.parse().ok());
        number
            .filter(|number| *number >= 1)
            .ok_or_else(|| Refusal::new(Code::NotFound, "There is no such version."))
    }

    /// What `read` makes of the body, or of an empty object where there is no body.
    ///
    /// # Errors
    /// As [`body`](Self::body).
    pub(crate) fn body_or_none<T: Default>(
        &self,
        read: impl FnOnce(Reader<'_>) -> Option<T>,
    ) -> Result<T, Refusal> {
        if self.body.is_empty() { Ok(T::default()) } else { self.body(read) }
    }

    /// What `read` makes of the body.
    ///
    /// # Errors
    /// 415, 400 or 422, with everything that is wrong.
    pub(crate) fn body<T>(&self, read: impl FnOnce(Reader<'_>) -> Option<T>) -> Result<T, Refusal> {
        let json = parse_json(content_type(&self.headers), &self.body)?;
        let read = |root: Reader<'_>| {
            root.object()?;
            read(root)
        };
        json::read(&json, read).map_err(Refusal::invalid)
    }

    /// A page of a list that was asked for with one item more than its limit, whose presence says that there is another.
    ///
    /// # Errors
    /// 500 when it can't be written.
    pub(crate) fn page<T: Serialize, C: Cursor>(
        asked: &Asked<C>,
        mut items: Vec<T>,
        place: impl Fn(&T) -> C,
    ) -> Response {
        let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
        let is_last = items.len() <= limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| !is_last).map(|item| place(item).told());
        answer::json(StatusCode::OK, &Page { items, next_cursor })
    }
}

/// A resource with its version as its `ETag`.
pub(crate) fn resource(status: StatusCode, resource: &(impl Serialize + Versioned)) -> Response {
    let mut response = answer::json(status, resource);
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", resource.version())) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Nothing to say.
pub(crate) fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Only a browser sends an origin. Whoever's page it shows, and whatever that calls with: it has to be one of those that
/// may.
fn require_origin(edge: &Edge, headers: &HeaderMap) -> Result<(), Refusal> {
    if origin::of(headers, &edge.settings.admin_origins) == Origin::Foreign {
        return Err(Refusal::forbidden("The request comes from another origin than the admin site's."));
    }
    Ok(())
}

/// A browser sends the cookie along whoever's page asks it to. So what changes anything by it has to carry a header that
/// no form and no foreign page can send.
fn require_site(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get(&REQUESTED_WITH).is_none_or(|value| value != "qubictether") {
        return Err(Refusal::forbidden("Send X-Requested-With: qubictether with what changes anything."));
    }
    Ok(())
}

fn require_role(access: Access, role: Option<Role>) -> Result<(), Refusal> {
    match (access, role) {
        (Access::Public | Access::SignIn, _) | (Access::SignedIn, Some(_)) => Ok(()),
        (_, None) => Err(Refusal::unauthorized()),
        (Access::Role(wanted), Some(role)) if role >= wanted => Ok(()),
        (Access::Role(wanted), Some(_)) => Err(Refusal::forbidden(format!("This takes the role {wanted}."))),
    }
}
