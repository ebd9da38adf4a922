//! The committed OpenAPI document is the code's.

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == admin::document(), "docs/openapi.json is another: run `cargo xtask openapi`");
}
