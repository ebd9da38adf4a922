//! Values by small numbers, and what was computed of them once: the same few thousand values make up millions of
//! worlds, and what the real code makes of one is the same every time.

use std::{
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
};

/// What a pool can hold.
pub(crate) trait Pooled {
    /// All that tells it from others, or nearly all.
    fn key(&self) -> Vec<u8>;

    /// Whether another one of the same key is the same.
    fn is(&self, _other: &Self) -> bool {
        true
    }
}

/// The number of a value in its pool.
pub(crate) struct Id<T>(u32, PhantomData<fn() -> T>);

/// Values, each of them once.
pub(crate) struct Pool<T>(Mutex<Shelves<T>>);

struct Shelves<T> {
    by_key: HashMap<Vec<u8>, Vec<Id<T>>>,
    values: Vec<Arc<T>>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(Shelves { by_key: HashMap::new(), values: Vec::new() }))
    }
}

impl<T: Pooled> Pool<T> {
    /// The number of a value.
    pub(crate) fn put(&self, value: T) -> Id<T> {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Shelves { by_key, values } = &mut *shelves;
        let same_key = by_key.entry(value.key()).or_default();
        if let Some(id) = same_key.iter().find(|id| values[id.index()].is(&value)) {
            return *id;
        }
        let number = u32::try_from(values.len()).expect("a model has fewer values than that");
        let id = Id(number, PhantomData);
        same_key.push(id);
        values.push(Arc::new(value));
        id
    }

    /// The value of a number that this pool gave.
    pub(crate) fn at(&self, id: Id<T>) -> Arc<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values[id.index()].clone()
    }
}

/// What was computed, by what it was computed from.
pub(crate) struct Memo<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Copy> Memo<K, V> {
    /// What was computed for this key, or is computed now.
    pub(crate) fn of(&self, key: K, compute: impl FnOnce(&K) -> V) -> V {
        let known = |memo: &Self| memo.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some(value) = known(self) {
            return value;
        }
        let value = compute(&key);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value);
        value
    }

    /// How much was computed.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl<T> Id<T> {
    const fn index(self) -> usize {
        self.0 as usize
    }
}

// Derived, these would ask for the same of `T`.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
