//! The key-encryption key in a file of this machine.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    error::Error as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    task::{self, Poll, Waker},
};

use keyring::{Context, Error, KeyEncryption, LocalProvider, Purpose};
use protocol::ambient::SeededRandom;
use tempfile::TempDir;

const CONTEXT: Context = Context { purpose: Purpose::DataKey, version: 3 };

fn random(seed: u64) -> Arc<SeededRandom> {
    Arc::new(SeededRandom::new(seed))
}

/// 32 bytes that count up from `first`.
fn key(first: u8) -> [u8; 32] {
    std::array::from_fn(|i| first + u8::try_from(i).unwrap())
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// What a provider answers that has nothing to wait for.
fn now<T>(pending: impl Future<Output = T>) -> T {
    match pin!(pending).poll(&mut task::Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a local key has nothing to wait for"),
    }
}

/// A key file of this content and mode.
fn key_file(folder: &TempDir, content: &[u8], mode: u32) -> PathBuf {
    let path = folder.path().join("test.kek");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// Computed by an independent implementation: what is in databases has to unwrap for ever.
#[test]
fn a_wrapped_key_has_the_documented_form() {
    let provider = LocalProvider::from_key(key(64), random(2));
    let wrapped = now(provider.wrap(&CONTEXT, &key(0))).unwrap().bytes;
    assert_eq!(
        wrapped,
        from_hex(
            "1309ac3f4e41512820fbf259318332c5caafd8c31cb4517390398d01005390c061b13b34587e7ffde9b62e06f3a202bbe637da3655dc8a80c7d43247"
        )
    );
    assert_eq!(*now(provider.unwrap(&CONTEXT, &wrapped)).unwrap(), key(0));
    assert_eq!(provider.id(), "local-4be137115225a2d6");
}

#[test]
fn a_wrapped_key_unwraps_in_its_context_only() {
    let provider = LocalProvider::from_key(key(64), random(2));
    let wrapped = now(provider.wrap(&CONTEXT, &key(0))).unwrap().bytes;
    for context in [Context { purpose: Purpose::LookupKey, ..CONTEXT }, Context { version: 2, ..CONTEXT }] {
        let refused = now(provider.unwrap(&context, &wrapped)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("key-encryption key local-4be137115225a2d6 doesn't unwrap {context}")
        );
    }
}

#[test]
fn another_key_encryption_key_unwraps_nothing() {
    let wrapped = now(LocalProvider::from_key(key(64), random(2)).wrap(&CONTEXT, &key(0))).unwrap().bytes;
    let other = LocalProvider::from_key(key(65), random(2));
    assert!(matches!(now(other.unwrap(&CONTEXT, &wrapped)), Err(Error::Unwrap { context: CONTEXT, .. })));
    assert_ne!(other.id(), "local-4be137115225a2d6");
}

#[test]
fn a_changed_or_cut_wrapped_key_does_not_unwrap() {
    let provider = LocalProvider::from_key(key(64), random(2));
    let wrapped = now(provider.wrap(&CONTEXT, &key(0))).unwrap().bytes;
    for bit in 0..wrapped.len() * 8 {
        let mut changed = wrapped.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(now(provider.unwrap(&CONTEXT, &changed)).is_err(), "bit {bit}");
    }
    for length in 0..wrapped.len() {
        assert!(now(provider.unwrap(&CONTEXT, &wrapped[..length])).is_err(), "{length}");
    }
}

#[test]
fn a_created_key_file_is_its_owners_alone_and_opens() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new.kek");
    let created = LocalProvider::create(&path, key(64), random(2)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read(&path).unwrap(), key(64));

    let opened = LocalProvider::open(&path, random(3)).unwrap();
    assert_eq!(opened.id(), created.id());
    let wrapped = now(created.wrap(&CONTEXT, &key(0))).unwrap().bytes;
    assert_eq!(*now(opened.unwrap(&CONTEXT, &wrapped)).unwrap(), key(0));
}

#[test]
fn an_existing_key_file_is_never_overwritten() {
    let folder = TempDir::new().unwrap();
    let path = key_file(&folder, &key(64), 0o600);
    let refused = LocalProvider::create(&path, key(0), random(2)).unwrap_err();
    assert_eq!(refused.to_string(), format!("key file {} can't be written", path.display()));
    assert!(refused.source().is_some());
    assert_eq!(fs::read(&path).unwrap(), key(64));
}

#[test]
fn a_stricter_mode_is_taken() {
    let folder = TempDir::new().unwrap();
    LocalProvider::open(&key_file(&folder, &key(64), 0o400), random(2)).unwrap();
}

#[test]
fn a_key_file_that_others_may_touch_is_refused_with_the_remedy() {
    let folder = TempDir::new().unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777] {
        let path = key_file(&folder, &key(64), mode);
        let refused = LocalProvider::open(&path, random(2)).unwrap_err();
        let path = path.display();
        assert_eq!(
            refused.to_string(),
            format!("key file {path} is open to others than its owner (mode {mode:04o}): chmod 600 {path}")
        );
    }
}

#[test]
fn a_key_file_of_another_length_is_refused() {
    let folder = TempDir::new().unwrap();
    for length in [0, 1, 31, 33, 44, 10_000] {
        let path = key_file(&folder, &vec![7; length], 0o600);
        let refused = LocalProvider::open(&path, random(2)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("key file {} doesn't hold exactly 32 bytes", path.display()),
            "{length}"
        );
    }
}

#[test]
fn a_key_file_that_is_not_there_is_named() {
    let refused = LocalProvider::open(Path::new("/nowhere/at/all.kek"), random(2)).unwrap_err();
    assert_eq!(refused.to_string(), "key file /nowhere/at/all.kek can't be read");
    assert!(refused.source().is_some());
}

#[test]
fn keys_are_not_printed() {
    let marker = *b"SECRETSECRETSECRETSECRETSECRETSE";
    let provider = LocalProvider::from_key(marker, random(2));
    let refused = now(provider.unwrap(&CONTEXT, &marker)).unwrap_err();
    let printed = format!("{provider:?} {refused:?} {refused}");
    assert!(printed.contains(provider.id()));
    for marker in ["SECRET", "83, 69, 67", "534543"] {
        assert!(!printed.contains(marker), "{printed}");
    }
}

#[test]
fn purposes_have_names_that_read_back() {
    for purpose in [Purpose::DataKey, Purpose::LookupKey] {
        assert_eq!(purpose.as_str().parse::<Purpose>().unwrap(), purpose);
    }
    assert!(matches!("root-key".parse::<Purpose>(), Err(Error::Purpose)));
    assert_eq!(CONTEXT.to_string(), "data-key 3");
}
