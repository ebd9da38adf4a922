//! The house's rules, held: which crate may use which, who reads the environment, the clock and the random generator,
//! and what files look like. ARCHITECTURE.md says why. Each checker is proved on a planted violation beside it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod directions;
mod files;
mod sources;
mod text;

use std::path::{Path, PathBuf};

/// The checkout.
fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Fails with everything that breaks a rule, a line each.
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "{} broken:\n{}", violations.len(), violations.join("\n"));
}
