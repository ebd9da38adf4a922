//! The wrapped keys, moved from one key-encryption key to another.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::sync::Arc;

use keyring::{Context, KeyEncryption, LocalProvider, Pending, Wrapped};
use protocol::ambient::SeededRandom;
use store::testing::{KEK, START, TestDatabase, recording};
use store::{Error, Store};
use zeroize::Zeroizing;

const WRAPPED: &str =
    "SELECT string_agg(concat(purpose, version, wrapped_by, wrapped), ',' ORDER BY purpose, version)
                       FROM wrapped_keys";

fn local(key: [u8; 32]) -> LocalProvider {
    LocalProvider::from_key(key, Arc::new(SeededRandom::new(u64::from(key[0]))))
}

async fn open(test: &TestDatabase, key: [u8; 32]) -> Result<Store, Error> {
    let random = Arc::new(SeededRandom::new(1));
    Store::open(test.database(), Arc::new(local(key)), Arc::new(test.clock.clone()), random).await
}

#[tokio::test]
async fn every_key_moves_to_the_other_and_a_store_that_was_open_goes_on() {
    let test = TestDatabase::new().await;
    let before = test.store(1).await;
    let (old, new) = (local(KEK), local([9; 32]));
    let count: usize = test.value("SELECT count(*) FROM wrapped_keys").await.parse().unwrap();
    let done = test.database().rewrap_keys(&old, &new, &recording(START)).await.unwrap();
    assert_eq!((done.moved, done.already, &*done.by), (count, 0, new.id()));
    assert_eq!(test.value("SELECT DISTINCT wrapped_by FROM wrapped_keys").await, new.id());

    assert!(matches!(open(&test, KEK).await.err(), Some(Error::Keyring(keyring::Error::Unwrap { .. }))));
    // The same keys as before: they open what was sealed.
    for store in [&before, &open(&test, [9; 32]).await.unwrap()] {
        store.load_signing_keys(START).await.unwrap();
    }
    let refused = before.rehearse_unwrap().await.unwrap_err();
    assert!(refused.to_string().contains("can't be opened"), "one that started now would learn: {refused}");
}

#[tokio::test]
async fn what_has_moved_stays_as_it_is() {
    let test = TestDatabase::new().await;
    let (old, new) = (local(KEK), local([9; 32]));
    let moved = test.database().rewrap_keys(&old, &new, &recording(START)).await.unwrap().moved;
    let once = test.value(WRAPPED).await;
    for from in [&old, &new] {
        let again = test.database().rewrap_keys(from, &new, &recording(START)).await.unwrap();
        assert_eq!((again.moved, again.already, &*again.by), (0, moved, new.id()));
    }
    assert_eq!(test.value(WRAPPED).await, once);
    let back = test.database().rewrap_keys(&new, &old, &recording(START)).await.unwrap();
    assert_eq!((back.moved, &*back.by), (moved, old.id()));
    open(&test, KEK).await.unwrap();
}

/// Wraps as another does, and then unwraps nothing, or something else.
struct Broken {
    inner: LocalProvider,
    unwraps: Option<[u8; 32]>,
}

impl KeyEncryption for Broken {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn wrap<'a>(&'a self, context: &'a Context, key: &'a [u8; 32]) -> Pending<'a, Wrapped> {
        self.inner.wrap(context, key)
    }

    fn unwrap<'a>(&'a self, context: &'a Context, wrapped: &'a [u8]) -> Pending<'a, Zeroizing<[u8; 32]>> {
        Box::pin(async move {
            let key = self.inner.unwrap(context, wrapped).await?;
            let refused = keyring::Error::Unwrap { provider: self.id().to_owned(), context: *context };
            drop(key);
            self.unwraps.map(Zeroizing::new).ok_or(refused)
        })
    }
}

#[tokio::test]
async fn nothing_is_written_unless_every_key_unwraps_under_the_other() {
    let test = TestDatabase::new().await;
    let before = test.value(WRAPPED).await;
    for unwraps in [None, Some([0; 32])] {
        let broken = Broken { inner: local([9; 32]), unwraps };
        let refused = test.database().rewrap_keys(&local(KEK), &broken, &recording(START)).await;
        assert!(matches!(refused, Err(Error::Keyring(keyring::Error::Unwrap { .. }))), "{refused:?}");
        assert_eq!(test.value(WRAPPED).await, before);
    }
    let refused = test.database().rewrap_keys(&local([8; 32]), &local([9; 32]), &recording(START)).await;
    assert!(matches!(refused, Err(Error::Keyring(keyring::Error::Unwrap { .. }))), "{refused:?}");
    assert_eq!(test.value(WRAPPED).await, before, "from a key that isn't the one");
    test.run("DELETE FROM wrapped_keys").await;
    let refused = test.database().rewrap_keys(&local(KEK), &local([9; 32]), &recording(START)).await;
    assert!(matches!(refused, Err(Error::NoKeys)), "{refused:?}");
}
