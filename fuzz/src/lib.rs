//! The fuzz targets' checks, so that the tests replay the corpora through the very same code.
//!
//! `cargo fuzz run proof_header` hunts from the corpus on; with a stable compiler, set `RUSTC_BOOTSTRAP=1` and add
//! `-s none`. What it finds is fixed, then kept in `corpus/<target>/` under a name that says what it is.

pub mod checks;
