//! What sealing and opening a column value costs: `cargo bench -p keyring`.

use keyring::{Builder, Context, Keyring, Place, Purpose};
use protocol::ambient::SeededRandom;
use zeroize::Zeroizing;

fn main() {
    divan::main();
}

const PLACE: Place<'static> = Place { table: "installs", column: "secrets", row: [7; 16] };

fn keyring() -> Keyring {
    let mut builder = Builder::default();
    for purpose in [Purpose::DataKey, Purpose::LookupKey] {
        builder.insert(Context { purpose, version: 1 }, Zeroizing::new([7; 32]), true);
    }
    let keyring = builder.build().expect("both purposes have an active key");
    keyring.grant(1 << 31);
    keyring
}

#[divan::bench]
fn open_33_bytes(bencher: divan::Bencher<'_, '_>) {
    let keyring = keyring();
    let sealed = keyring.seal(PLACE, &[7; 33], &SeededRandom::new(1)).expect("seals are granted");
    bencher.bench(|| keyring.open(PLACE, divan::black_box(&sealed)));
}

#[divan::bench]
fn seal_33_bytes(bencher: divan::Bencher<'_, '_>) {
    let (keyring, random) = (keyring(), SeededRandom::new(1));
    bencher.bench(|| keyring.seal(PLACE, divan::black_box(&[7; 33]), &random));
}

#[divan::bench]
fn lookup(bencher: divan::Bencher<'_, '_>) {
    let keyring = keyring();
    bencher.bench(|| keyring.lookup(divan::black_box("DQSGN8DJS3C2WZDKGSEY840A45HYW4")));
}
