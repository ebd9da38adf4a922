//! The OpenAPI 3.1 document: what the table of routes says, for programs.

use std::collections::BTreeMap;

use axum::response::Response;
use edge::Refusal;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use protocol::problem::Code;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

use super::call::Call;
use super::route::{Access, Answer, BASE, Header, Kind, Parameter, Route};
use super::routes;

/// The document's own schema: an object.
pub(super) struct Document;

impl utoipa::PartialSchema for Document {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Object).description(Some("An OpenAPI 3.1 document.")).into()
    }
}

impl ToSchema for Document {}

pub(super) async fn show(call: Call) -> Result<Response, Refusal> {
    call.query.finish()?;
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=60")];
    Ok(axum::response::IntoResponse::into_response((headers, document())))
}

/// The document, as it is served and committed: pretty JSON with a line's end at its end.
pub fn document() -> String {
    let mut schemas = Vec::new();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in routes::all() {
        route.schemas.iter().for_each(|describe| describe(&mut schemas));
        let path = paths.entry(format!("{BASE}{}", route.path)).or_default();
        path.insert(route.verb.to_owned(), operation(&route));
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "qubictether admin API",
            "version": "1",
            "description": "What an operator does. Conventions, signing in, roles and workflows: docs/admin-api.md.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": with_problem(schemas.into_iter().collect()),
            "securitySchemes": {
                "session": { "type": "apiKey", "in": "cookie", "name": "__Host-qt_session",
                             "description": "Set by POST /v1/admin/session; on plain-http loopback its name is \
                                             qt_session. What changes anything also carries \
                                             X-Requested-With: qubictether." },
                "apiKey": { "type": "http", "scheme": "bearer", "bearerFormat": "qt_api_…" },
            },
        },
    });
    // What was just made of strings can be written.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// The schemas as JSON, and that of every refusal.
fn with_problem(schemas: BTreeMap<String, RefOr<Schema>>) -> Value {
    let mut schemas: Map<String, Value> =
        schemas.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let problem = json!({
        "type": "object",
        "description": "Why a request was refused (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "request_id", "server_time"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string", "enum": codes },
            "request_id": { "type": "string", "format": "uuid" },
            "server_time": { "type": "integer", "description": "Unix seconds." },
            "errors": { "type": "array", "description": "What is wrong with the values, each with a JSON pointer; of a \
                                                         query's parameter, /name.",
                        "items": { "type": "object", "required": ["pointer", "detail"],
                                   "properties": { "pointer": { "type": "string" }, "detail": { "type": "string" } } } },
            "reason": { "type": "string", "description": "Why, of refusals that have several causes." },
        },
    });
    schemas.insert("Problem".to_owned(), problem);
    Value::Object(schemas)
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.about,
        "tags": [route.path.split('/').nth(1).unwrap_or_default()],
        "x-access": route.access.as_str(),
        "parameters": parameters(route),
        "responses": responses(route),
    });
    match route.access {
        Access::Public | Access::SignIn => operation["security"] = json!([]),
        Access::SignedIn | Access::Role(_) => {
            operation["security"] = json!([{ "session": [] }, { "apiKey": [] }]);
        }
    }
    if let Some(body) = &route.body {
        let content = json!({ body.media_type: { "schema": (body.schema)() } });
        operation["requestBody"] = json!({ "required": body.required, "content": content });
    }
    operation
}

/// `post_licenses_id_suspend`.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(['/', '-', '.']).map(|word| word.trim_matches(['{', '}']));
    words.filter(|word| !word.is_empty()).fold(route.verb.to_owned(), |id, word| format!("{id}_{word}"))
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        let schema = if name == "id" || name.ends_with("_id") {
            json!({ "type": "string", "format": "uuid" })
        } else if name == "n" {
            json!({ "type": "integer", "minimum": 1, "maximum": i32::MAX })
        } else {
            json!({ "type": "string" })
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let in_query = route.parameters.iter().map(|parameter| {
        json!({ "name": parameter.name, "in": "query", "required": false, "description": parameter.about,
                "schema": schema(parameter) })
    });
    let mut all: Vec<Value> = in_path.chain(in_query).collect();
    all.extend(route.headers.iter().map(|header| match header {
        Header::IdempotencyKey => header_parameter("Idempotency-Key", false, IDEMPOTENCY),
        Header::IfMatch => if_match(false, "Do it only if this is still the ETag."),
        Header::IfMatchRequired => if_match(true, "The ETag of what was read."),
    }));
    if route.access == Access::SignIn {
        let mut with = header_parameter("X-Requested-With", true, "Which no foreign page can send.");
        with["schema"] = json!({ "type": "string", "const": "qubictether" });
        all.push(with);
    }
    all
}

const IDEMPOTENCY: &str = "Makes it once, however often it comes within a day: the first answer is given again. With another body: 409.";

fn if_match(required: bool, about: &str) -> Value {
    let mut header = header_parameter("If-Match", required, about);
    header["schema"] = json!({ "type": "string", "pattern": "^(\\*|\"[0-9]{1,19}\")$" });
    header
}

fn header_parameter(name: &str, required: bool, about: &str) -> Value {
    let schema = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*$" });
    json!({ "name": name, "in": "header", "required": required, "description": about, "schema": schema })
}

fn schema(parameter: &Parameter) -> Value {
    match parameter.kind {
        Kind::Id => json!({ "type": "string", "format": "uuid" }),
        Kind::Time => json!({ "type": "string", "format": "date-time" }),
        Kind::Word(words) => json!({ "type": "string", "enum": words() }),
        Kind::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Text => json!({ "type": "string", "minLength": 1, "maxLength": 200 }),
    }
}

fn responses(route: &Route) -> Map<String, Value> {
    let mut all: Map<String, Value> =
        route.answers.iter().map(|answer| (answer.status.as_str().to_owned(), answered(answer))).collect();
    for (status, when) in refusals(route) {
        let content =
            json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
        all.insert(status.to_string(), json!({ "description": when, "content": content }));
    }
    all
}

fn answered(answer: &Answer) -> Value {
    let content: Map<String, Value> = answer
        .bodies
        .iter()
        .map(|body| (body.media_type.to_owned(), json!({ "schema": (body.schema)() })))
        .collect();
    let about = if answer.status == StatusCode::CREATED { "Made." } else { "Done." };
    let mut value = json!({ "description": about });
    if !content.is_empty() {
        value["content"] = Value::Object(content);
    }
    if answer.tagged {
        value["headers"] =
            json!({ "ETag": { "description": "The version, in quotes.", "schema": { "type": "string" } } });
    }
    value
}

/// With what a route may refuse, and when.
fn refusals(route: &Route) -> Vec<(u16, &'static str)> {
    let (writes, reads) = (route.verb != "get", route.body.is_some());
    let guarded = route.access != Access::Public;
    let asks = |header| route.headers.contains(&header);
    let takes_passwords = matches!(route.path, "/session" | "/session/totp") && reads;
    [
        (reads, 400, "The body isn't JSON."),
        (guarded, 401, "Nobody is signed in, or no longer."),
        (guarded, 403, "The role isn't enough, or the request comes from a foreign page."),
        (route.path.contains('{'), 404, "There is no such thing."),
        (writes, 409, "What it is forbids it."),
        (asks(Header::IfMatch) || asks(Header::IfMatchRequired), 412, "It has changed since it was read."),
        (true, 413, "The body or the headers are too long."),
        (reads, 415, "The body isn't declared as JSON."),
        (true, 422, "Values aren't as described."),
        (asks(Header::IfMatchRequired), 428, "If-Match is missing."),
        (takes_passwords, 429, "Too many attempts have failed."),
        (true, 503, "The server can't answer now."),
    ]
    .into_iter()
    .filter(|(applies, ..)| *applies)
    .map(|(_, status, when)| (status, when))
    .collect()
}
