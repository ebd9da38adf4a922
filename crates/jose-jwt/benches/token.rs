//! What a decision token costs: `cargo bench -p jose-jwt`.

use jose_jwt::{SigningKey, jws};

fn main() {
    divan::main();
}

/// As long as the claims of an ordinary decision.
const PAYLOAD: [u8; 640] = [b'x'; 640];

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

/// The floor under [`sign`]: the signature alone.
#[divan::bench]
fn bare_signature(bencher: divan::Bencher<'_, '_>) {
    let key = key();
    bencher.bench(|| key.sign(divan::black_box(&PAYLOAD)));
}

#[divan::bench]
fn sign(bencher: divan::Bencher<'_, '_>) {
    let signer = jws::Signer::new("qt-decision+jwt", key());
    bencher.bench(|| signer.sign(divan::black_box(&PAYLOAD)));
}

#[divan::bench]
fn sign_without_kept_header(bencher: divan::Bencher<'_, '_>) {
    let key = key();
    bencher.bench(|| jws::sign("qt-decision+jwt", divan::black_box(&PAYLOAD), &key));
}

#[divan::bench]
fn parse_and_verify(bencher: divan::Bencher<'_, '_>) {
    let key = key();
    let token = jws::sign("qt-decision+jwt", &PAYLOAD, &key);
    bencher.bench(|| {
        let token = jws::Compact::parse(divan::black_box(&token))?;
        token.verify(key.public()).map(<[u8]>::len)
    });
}
