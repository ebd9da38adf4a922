//! A route: who may call it, what it takes, what it answers, and what does it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use edge::{Edge, Refusal};
use http::{HeaderMap, HeaderValue, StatusCode};
use protocol::admin::Role;
use utoipa::ToSchema;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, RefOr, Schema, Type};

use super::call::Call;
use super::origin;
use crate::password::Passwords;

/// Where the admin API is.
pub(super) const BASE: &str = "/v1/admin";

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody.
    Public,
    /// Anybody, from where the site may call: signing in.
    SignIn,
    /// Whoever is signed in, or has an API key.
    SignedIn,
    /// Whoever has this role, or one above it.
    Role(Role),
}

impl Access {
    /// Its name in the document.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::SignIn => "sign_in",
            Self::SignedIn => "signed_in",
            Self::Role(role) => role.as_str(),
        }
    }
}

/// A parameter of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) about: &'static str,
}

/// What stands in a parameter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A UUID.
    Id,
    /// An instant of RFC 3339.
    Time,
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// A whole number from the first to the last.
    Number(i64, i64),
    /// Any text of 1 to 200 characters.
    Text,
}

/// A schema, made where the document is: a process that starts has no use for it.
type Described = fn() -> RefOr<Schema>;

/// Puts a type's schema, and those that it refers to, among the document's.
type Describe = fn(&mut Vec<(String, RefOr<Schema>)>);

/// What goes over the wire, for the document.
pub(super) struct Body {
    pub(super) media_type: &'static str,
    pub(super) schema: Described,
    /// Of a request's: whether it has to be there.
    pub(super) required: bool,
}

/// What is answered when all is well.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) bodies: Vec<Body>,
    /// Whether it has an `ETag`.
    pub(super) tagged: bool,
}

/// What a route asks of a request's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// `Idempotency-Key` is taken.
    IdempotencyKey,
    /// `If-Match` is taken.
    IfMatch,
    /// `If-Match` is wanted.
    IfMatchRequired,
}

type Doing = Pin<Box<dyn Future<Output = Result<Response, Refusal>> + Send>>;

/// A route.
pub(super) struct Route {
    pub(super) method: MethodFilter,
    pub(super) verb: &'static str,
    /// After [`BASE`].
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) about: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) headers: Vec<Header>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answer>,
    /// The schemas that the bodies refer to.
    pub(super) schemas: Vec<Describe>,
    handler: Box<dyn Fn(Call) -> Doing + Send + Sync>,
}

macro_rules! verbs {
    ($($name:ident $filter:ident $verb:literal),*) => {$(
        pub(super) fn $name<F>(
            path: &'static str,
            access: Access,
            about: &'static str,
            handler: fn(Call) -> F,
        ) -> Self
        where
            F: Future<Output = Result<Response, Refusal>> + Send + 'static,
        {
            Self::new((MethodFilter::$filter, $verb), path, access, about, handler)
        }
    )*};
}

impl Route {
    verbs!(get GET "get", post POST "post", put PUT "put", patch PATCH "patch", delete DELETE "delete");

    fn new<F>(
        (method, verb): (MethodFilter, &'static str),
        path: &'static str,
        access: Access,
        about: &'static str,
        handler: fn(Call) -> F,
    ) -> Self
    where
        F: Future<Output = Result<Response, Refusal>> + Send + 'static,
    {
        Self {
            method,
            verb,
            path,
            access,
            about,
            parameters: Vec::new(),
            headers: Vec::new(),
            body: None,
            answers: Vec::new(),
            schemas: Vec::new(),
            handler: Box::new(move |call| Box::pin(handler(call))),
        }
    }

    /// It lists resources a page at a time, and takes these parameters to choose among them.
    pub(super) fn lists<T: ToSchema>(mut self, filters: &[Parameter]) -> Self {
        self.parameters.extend(filters);
        self.parameters.extend(super::query::PAGE);
        self.schemas.push(describe::<T>);
        let body = Body { media_type: "application/json", schema: page_of::<T>, required: true };
        self.answers.push(Answer { status: StatusCode::OK, bodies: vec![body], tagged: false });
        self
    }

    /// It takes the parameters of a page.
    pub(super) fn paged(mut self) -> Self {
        self.parameters.extend(super::query::PAGE);
        self
    }

    /// It takes these parameters.
    pub(super) fn takes(mut self, parameters: &[Parameter]) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// It answers the whole of what is asked for as CSV to whoever asks for that by `Accept`.
    pub(super) fn or_as_table(mut self) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            let schema = || ObjectBuilder::new().schema_type(Type::String).into();
            answer.bodies.push(Body { media_type: "text/csv", schema, required: true });
        }
        self
    }

    /// It shows a resource that has a version.
    pub(super) fn shows<T: ToSchema>(self) -> Self {
        self.answers_with::<T>(StatusCode::OK, true)
    }

    /// It tells something that has no version.
    pub(super) fn tells<T: ToSchema>(self) -> Self {
        self.answers_with::<T>(StatusCode::OK, false)
    }

    /// It makes a resource of a body, once for an `Idempotency-Key`.
    pub(super) fn makes<B: ToSchema, T: ToSchema>(mut self) -> Self {
        self.headers.push(Header::IdempotencyKey);
        self.reads::<B>().answers_with::<T>(StatusCode::CREATED, true)
    }

    /// It changes a resource whose version has to be named.
    pub(super) fn changes<B: ToSchema, T: ToSchema>(mut self) -> Self {
        self.headers.push(Header::IfMatchRequired);
        self.reads::<B>().shows::<T>()
    }

    /// It removes a resource whose version has to be named.
    pub(super) fn removes(mut self) -> Self {
        self.headers.push(Header::IfMatchRequired);
        self.answers_nothing()
    }

    /// It does something to a resource, whose version may be named.
    pub(super) fn acts<T: ToSchema>(mut self) -> Self {
        self.headers.push(Header::IfMatch);
        self.shows::<T>()
    }

    /// It reads this body.
    pub(super) fn reads<B: ToSchema>(mut self) -> Self {
        self.body = Some(self.json::<B>(true));
        self
    }

    /// It reads this body, if there is one.
    pub(super) fn may_read<B: ToSchema>(mut self) -> Self {
        self.body = Some(self.json::<B>(false));
        self
    }

    /// It makes a resource that has no version, of a body, once for an `Idempotency-Key`.
    pub(super) fn makes_part<B: ToSchema, T: ToSchema>(mut self) -> Self {
        self.headers.push(Header::IdempotencyKey);
        self.reads::<B>().answers_with::<T>(StatusCode::CREATED, false)
    }

    /// It answers 204.
    pub(super) fn answers_nothing(mut self) -> Self {
        self.answers.push(Answer { status: StatusCode::NO_CONTENT, bodies: Vec::new(), tagged: false });
        self
    }

    /// It answers this.
    pub(super) fn answers_with<T: ToSchema>(mut self, status: StatusCode, tagged: bool) -> Self {
        let body = self.json::<T>(true);
        self.answers.push(Answer { status, bodies: vec![body], tagged });
        self
    }

    /// A type as JSON, whose schema the document gets.
    fn json<T: ToSchema>(&mut self, required: bool) -> Body {
        self.schemas.push(describe::<T>);
        Body { media_type: "application/json", schema: reference_to::<T>, required }
    }

    /// Whether a parameter of this name is taken.
    pub(super) fn takes_parameter(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.name == name)
    }
}

fn describe<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
}

fn reference_to<T: ToSchema>() -> RefOr<Schema> {
    utoipa::openapi::Ref::from_schema_name(T::name()).into()
}

fn page_of<T: ToSchema>() -> RefOr<Schema> {
    let cursor = SchemaType::from_iter([Type::String, Type::Null]);
    ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(reference_to::<T>()))
        .required("items")
        .property("next_cursor", ObjectBuilder::new().schema_type(cursor))
        .required("next_cursor")
        .into()
}

/// Routes as axum has them.
pub(super) fn router(routes: Vec<Route>) -> Router<Arc<Edge>> {
    let passwords = Arc::new(Passwords::default());
    let mut paths: BTreeMap<&'static str, MethodRouter<Arc<Edge>>> = BTreeMap::new();
    let mut verbs: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for route in routes {
        let path = route.path;
        verbs.entry(path).or_default().push(route.verb.to_uppercase());
        let methods = paths.remove(path).unwrap_or_default();
        paths.insert(path, on_route(methods, route, &passwords));
    }
    for (path, verbs) in verbs {
        let methods = paths.remove(path).unwrap_or_default();
        paths.insert(path, methods.merge(on_options(&verbs)));
    }
    paths
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(&format!("{BASE}{path}"), methods))
}

fn on_options(verbs: &[String]) -> MethodRouter<Arc<Edge>> {
    let methods = HeaderValue::from_str(&verbs.join(", ")).expect("methods are plain letters");
    on(MethodFilter::OPTIONS, async move |State(edge): State<Arc<Edge>>, headers: HeaderMap| {
        origin::preflight(&edge, &headers, methods)
    })
}

fn on_route(
    methods: MethodRouter<Arc<Edge>>,
    route: Route,
    passwords: &Arc<Passwords>,
) -> MethodRouter<Arc<Edge>> {
    let (route, passwords) = (Arc::new(route), passwords.clone());
    methods.on(route.method, move |State(edge): State<Arc<Edge>>, request: Request| async move {
        let from = origin::of(request.headers(), &edge.settings.admin_origins);
        let answered = match Call::admit(edge, &route, passwords, request).await {
            Ok(call) => (route.handler)(call).await,
            Err(refusal) => Err(refusal),
        };
        origin::allow(from, answered.into_response())
    })
}
