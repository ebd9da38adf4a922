//! Replays the fuzzers' corpora: what once was interesting stays harmless.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::{fs, path::Path};

#[allow(unreachable_pub, reason = "the fuzzers' own crate exports them")]
#[path = "../../../fuzz/src/checks.rs"]
mod checks;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let inputs: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(!inputs.is_empty());
    for input in inputs {
        check(&input);
        // And what is nearly the same: cut off anywhere, or with one byte changed.
        for index in (0..input.len()).step_by(1 + input.len() / 200) {
            check(&input[..index]);
            let mut changed = input.clone();
            changed[index] ^= 1;
            check(&changed);
        }
    }
}

#[test]
fn proof_headers() {
    replay("proof_header", checks::proof_header);
}

#[test]
fn bodies() {
    replay("bodies", checks::bodies);
}

#[test]
fn signed_texts() {
    replay("jws", checks::jws);
}

#[test]
fn encrypted_texts() {
    replay("jwe", checks::jwe);
}

#[test]
fn license_keys() {
    replay("license_key", checks::license_key);
}

#[test]
fn fingerprints() {
    replay("fingerprint", checks::fingerprint);
}

#[test]
fn offline_requests() {
    replay("offline_request", checks::offline_request);
}
