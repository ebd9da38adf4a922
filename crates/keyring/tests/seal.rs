//! Sealed values open where they were sealed, unchanged, and nowhere else.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use keyring::{Builder, Context, Error, Keyring, Place, Purpose};
use protocol::ambient::SeededRandom;
use zeroize::Zeroizing;

const PLACE: Place<'static> = Place {
    table: "installs",
    column: "secrets",
    row: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
};
const PLAINTEXT: &[u8] = b"a secret of an install";

/// 32 bytes that count up from `first`.
fn key(first: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(std::array::from_fn(|i| first + u8::try_from(i).unwrap()))
}

fn builder(data_keys: &[(u32, u8)], active: u32) -> Builder {
    let mut builder = Builder::default();
    for &(version, first) in data_keys {
        builder.insert(Context { purpose: Purpose::DataKey, version }, key(first), version == active);
    }
    builder.insert(Context { purpose: Purpose::LookupKey, version: 1 }, key(32), true);
    builder
}

fn keyring(data_keys: &[(u32, u8)], active: u32) -> Keyring {
    let keyring = builder(data_keys, active).build().unwrap();
    keyring.grant(1 << 20);
    keyring
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// Computed by an independent implementation: what is in databases has to open for ever.
#[test]
fn a_sealed_value_has_the_documented_form() {
    let keyring = keyring(&[(3, 0)], 3);
    let sealed = keyring.seal(PLACE, PLAINTEXT, &SeededRandom::new(1)).unwrap();
    assert_eq!(
        sealed,
        from_hex(
            "00000003783825822a6f9e62da2190e8b630b46c1f249e8b524e50da89687d920e9a62f8dd4a0f3c91e372ea9e82627c5fc0df805761"
        )
    );
    assert_eq!(keyring.open(PLACE, &sealed).unwrap().as_slice(), PLAINTEXT);
    assert_eq!(Keyring::version_of(&sealed).unwrap(), 3);
}

/// Computed by an independent implementation.
#[test]
fn the_blind_index_is_hmac_sha_256_under_the_lookup_key() {
    assert_eq!(
        &keyring(&[(1, 0)], 1).lookup("DQSGN8DJS3C2WZDKGSEY840A45HYW4")[..],
        from_hex("67cf12e6c49390c183703f8d3bd6c061b0796dda9634eb62447c0be6bd9d21e3")
    );
}

#[test]
fn an_empty_value_seals_and_opens() {
    let keyring = keyring(&[(1, 0)], 1);
    let sealed = keyring.seal(PLACE, b"", &SeededRandom::new(1)).unwrap();
    assert_eq!(sealed.len(), 4 + 12 + 16);
    assert!(keyring.open(PLACE, &sealed).unwrap().is_empty());
}

#[test]
fn equal_values_are_sealed_differently() {
    let (keyring, random) = (keyring(&[(1, 0)], 1), SeededRandom::new(1));
    let seal = || keyring.seal(PLACE, PLAINTEXT, &random).unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn a_value_opens_in_no_other_place() {
    let keyring = keyring(&[(1, 0)], 1);
    let sealed = keyring.seal(PLACE, PLAINTEXT, &SeededRandom::new(1)).unwrap();
    let mut other_row = PLACE.row;
    other_row[15] ^= 1;
    for place in [
        Place { table: "licenses", ..PLACE },
        Place { column: "key", ..PLACE },
        Place { row: other_row, ..PLACE },
        // The same text, cut elsewhere.
        Place { table: "installss", column: "ecrets", ..PLACE },
        Place { table: "secrets", column: "installs", ..PLACE },
        Place { table: "", column: "installssecrets", ..PLACE },
    ] {
        assert!(matches!(keyring.open(place, &sealed), Err(Error::Open)), "{place:?}");
    }
}

#[test]
fn every_flipped_bit_keeps_a_value_closed() {
    // Version 3 is one flipped bit away, and there.
    let keyring = keyring(&[(1, 0), (3, 100)], 1);
    let sealed = keyring.seal(PLACE, PLAINTEXT, &SeededRandom::new(1)).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let refused = keyring.open(PLACE, &changed).unwrap_err();
        let version = Keyring::version_of(&changed).unwrap();
        let expected = match version {
            1 | 3 => matches!(refused, Error::Open),
            _ => matches!(refused, Error::UnknownVersion(unknown) if unknown == version),
        };
        assert!(expected, "bit {bit}: {refused}");
    }
}

#[test]
fn a_value_that_is_cut_or_lengthened_stays_closed() {
    let keyring = keyring(&[(1, 0)], 1);
    let sealed = keyring.seal(PLACE, b"", &SeededRandom::new(1)).unwrap();
    for length in 0..sealed.len() {
        assert!(matches!(keyring.open(PLACE, &sealed[..length]), Err(Error::NotSealed)), "{length}");
        assert!(matches!(Keyring::version_of(&sealed[..length]), Err(Error::NotSealed)), "{length}");
    }
    let longer = [sealed.as_slice(), b"\0"].concat();
    assert!(matches!(keyring.open(PLACE, &longer), Err(Error::Open)));
}

#[test]
fn after_a_rotation_old_values_open_and_new_ones_are_under_the_new_key() {
    let random = SeededRandom::new(1);
    let old = keyring(&[(1, 0)], 1).seal(PLACE, PLAINTEXT, &random).unwrap();

    let rotated = keyring(&[(1, 0), (2, 100)], 2);
    assert_eq!(rotated.active_version(), 2);
    assert_eq!(rotated.open(PLACE, &old).unwrap().as_slice(), PLAINTEXT);
    let new = rotated.seal(PLACE, PLAINTEXT, &random).unwrap();
    assert_eq!(Keyring::version_of(&new).unwrap(), 2);

    let retired = keyring(&[(2, 100)], 2);
    assert_eq!(retired.open(PLACE, &new).unwrap().as_slice(), PLAINTEXT);
    assert!(matches!(retired.open(PLACE, &old), Err(Error::UnknownVersion(1))));
}

#[test]
fn no_more_is_sealed_than_was_granted() {
    let keyring = builder(&[(1, 0)], 1).build().unwrap();
    let random = SeededRandom::new(1);
    let seal = || keyring.seal(PLACE, PLAINTEXT, &random);
    assert!(matches!(seal(), Err(Error::AllowanceSpent)));

    keyring.grant(2);
    let sealed = seal().unwrap();
    assert_eq!(keyring.allowance(), 1);
    seal().unwrap();
    assert!(matches!(seal(), Err(Error::AllowanceSpent)));
    assert!(matches!(seal(), Err(Error::AllowanceSpent)));
    assert_eq!(keyring.allowance(), 0);
    assert_eq!(keyring.open(PLACE, &sealed).unwrap().as_slice(), PLAINTEXT);

    keyring.grant(1);
    seal().unwrap();
    assert!(matches!(seal(), Err(Error::AllowanceSpent)));
}

#[test]
fn threads_together_seal_no_more_than_was_granted() {
    let keyring = builder(&[(1, 0)], 1).build().unwrap();
    keyring.grant(100);
    let random = SeededRandom::new(1);
    let sealed: usize = std::thread::scope(|scope| {
        let seal_all = || (0..50).filter(|_| keyring.seal(PLACE, b"", &random).is_ok()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(seal_all)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(sealed, 100);
}

#[test]
fn a_keyring_needs_an_active_data_key_and_an_active_lookup_key() {
    let context = |purpose| Context { purpose, version: 1 };
    assert!(Builder::default().build().is_none());
    assert!(builder(&[(1, 0)], 2).build().is_none());

    let mut without_lookup = Builder::default();
    without_lookup.insert(context(Purpose::DataKey), key(0), true);
    without_lookup.insert(context(Purpose::LookupKey), key(32), false);
    assert!(without_lookup.build().is_none());
}

#[test]
fn the_lookup_key_is_the_active_one_in_whichever_order_they_come() {
    let expected = keyring(&[(1, 0)], 1).lookup("X");
    for active_first in [false, true] {
        let mut builder = Builder::default();
        builder.insert(Context { purpose: Purpose::DataKey, version: 1 }, key(0), true);
        let mut lookups = [(1, 32, true), (2, 100, false)];
        if !active_first {
            lookups.reverse();
        }
        for (version, first, active) in lookups {
            builder.insert(Context { purpose: Purpose::LookupKey, version }, key(first), active);
        }
        assert_eq!(builder.build().unwrap().lookup("X"), expected, "active first: {active_first}");
    }
}

#[test]
fn a_license_key_is_found_by_every_lookup_key_there_is() {
    let mut builder = builder(&[(1, 0)], 1);
    builder.insert(Context { purpose: Purpose::LookupKey, version: 2 }, key(100), true);
    let both = builder.build().unwrap();
    let old = keyring(&[(1, 0)], 1);
    assert_eq!((old.lookup_version(), both.lookup_version()), (1, 2));
    assert_eq!(both.lookup_versions().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(both.lookups("X"), [old.lookup("X"), both.lookup("X")]);
    assert_ne!(old.lookup("X"), both.lookup("X"));
}

#[test]
fn a_keyring_takes_over_what_the_one_before_has() {
    let random = SeededRandom::new(1);
    let old = keyring(&[(1, 0)], 1);
    let sealed = old.seal(PLACE, b"value", &random).unwrap();
    let data_key = |version| Context { purpose: Purpose::DataKey, version };
    let lookup_key = Context { purpose: Purpose::LookupKey, version: 1 };
    let successor = |active: u32| {
        let mut builder = Builder::default();
        assert!(builder.take_over(&old, data_key(1), active == 1));
        assert!(!builder.take_over(&old, data_key(2), active == 2), "it doesn't have it");
        builder.insert(data_key(2), key(50), active == 2);
        assert!(builder.take_over(&old, lookup_key, true));
        builder.build_after(&old).unwrap()
    };
    let (same, next) = (successor(1), successor(2));
    assert_eq!(next.open(PLACE, &sealed).unwrap().as_slice(), b"value");
    assert_eq!(next.lookup("X"), old.lookup("X"));
    // What was granted is the data key's.
    let left = old.allowance();
    assert_eq!((same.allowance(), next.allowance()), (left, 0));
    same.seal(PLACE, b"", &random).unwrap();
    assert_eq!(old.allowance(), left - 1);
    assert!(matches!(next.seal(PLACE, b"", &random), Err(Error::AllowanceSpent)));
}

#[test]
fn what_a_destroyed_data_key_has_sealed_says_so() {
    let sealed = keyring(&[(1, 0)], 1).seal(PLACE, b"value", &SeededRandom::new(1)).unwrap();
    let mut without = builder(&[(2, 50)], 2);
    assert!(matches!(without.build().unwrap().open(PLACE, &sealed), Err(Error::UnknownVersion(1))));
    without = builder(&[(2, 50)], 2);
    without.note_destroyed(1);
    assert!(matches!(without.build().unwrap().open(PLACE, &sealed), Err(Error::DestroyedVersion(1))));
}

#[test]
fn keys_are_not_printed() {
    let marker = Zeroizing::new(*b"SECRETSECRETSECRETSECRETSECRETSE");
    let mut builder = Builder::default();
    for purpose in [Purpose::DataKey, Purpose::LookupKey] {
        builder.insert(Context { purpose, version: 41 }, marker.clone(), true);
    }
    let printed = format!("{builder:?}") + &format!("{:?}", builder.build().unwrap());
    assert!(printed.contains("41"), "{printed}");
    for marker in ["SECRET", "83, 69, 67", "534543"] {
        assert!(!printed.contains(marker), "{printed}");
    }
}
