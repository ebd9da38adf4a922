//! Schemas of types that know nothing of OpenAPI.

use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{ObjectBuilder, Schema, Type};

fn words(all: impl Iterator<Item = &'static str>) -> Schema {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(all)).into()
}

/// One of the ten states.
pub(super) fn state() -> Schema {
    words(policy::State::ALL.iter().map(|state| state.as_str()))
}

/// A stable reason code.
pub(super) fn reason() -> Schema {
    words(policy::Reason::ALL.iter().map(|reason| reason.as_str()))
}

/// How a component compares.
pub(super) fn comparison() -> Schema {
    words(policy::Comparison::ALL.iter().map(|comparison| comparison.as_str()))
}

/// Digests by component name.
pub(super) fn fingerprint() -> Schema {
    let digest = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[A-Za-z0-9_-]{43}$"))
        .description(Some("The component's SHA-256 in base64url."));
    let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[a-z0-9_]{1,32}$"));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::RefOr(Schema::from(digest).into())))
        .property_names(Some(Schema::from(name)))
        .into()
}
