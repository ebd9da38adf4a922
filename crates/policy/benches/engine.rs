//! What a judgement, a ladder and a line cost: `cargo bench -p policy`. At the end the goals, as plain figures.

use std::hint::black_box;
use std::time::Instant;

use divan::Bencher;
use policy::json::{evaluate_line, ladder_line};
use policy::{Facts, Fingerprint, Profile, evaluate, ladder};

const NOW: i64 = 1_790_000_000;
const LINE: &[u8] = include_bytes!("line.json");

#[expect(clippy::print_stdout, reason = "figures for whoever measures")]
fn main() {
    divan::main();
    let (facts, profile) = ordinary();
    let judged = microseconds(|| evaluate(black_box(&facts), black_box(&profile), black_box(NOW)));
    let drawn = microseconds(|| ladder(black_box(&facts), black_box(&profile), black_box(NOW)));
    let line = microseconds(|| evaluate_line(black_box(LINE)));
    println!("evaluate {judged:.3} µs (goal 0.2), ladder {drawn:.3} µs (goal 2), evaluate_line {line:.3} µs");
}

/// The best of many batches: what it costs where nothing else wants the core.
fn microseconds<T>(call: impl Fn() -> T) -> f64 {
    const CALLS: u32 = 1000;
    let batch = || {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(call());
        }
        start.elapsed().as_secs_f64()
    };
    (0..500).map(|_| batch()).fold(f64::INFINITY, f64::min) * 1e6 / f64::from(CALLS)
}

/// A beat of an install that is in order: every rule is asked, none but the last matches.
fn ordinary() -> (Facts, Profile) {
    let components = ["board_serial", "mac", "machine_id"];
    let fingerprint: Fingerprint =
        components.map(|name| (name.to_owned(), "k".repeat(43))).into_iter().collect();
    let facts = Facts {
        license_start: NOW - 86_400,
        license_end: Some(NOW + 31_536_000),
        bound: fingerprint.clone(),
        observed: fingerprint,
        last_contact: NOW,
        lease_end: Some(NOW + 604_800),
        clock_skew: Some(-2),
        agent_version: Some("1.4.2".to_owned()),
        ..Facts::default()
    };
    let mut profile = Profile { min_agent_version: Some("1.2.0".to_owned()), ..Profile::default() };
    profile.weights.insert("machine_id".to_owned(), 3);
    (facts, profile)
}

#[divan::bench(name = "evaluate")]
fn bench_evaluate(bencher: Bencher<'_, '_>) {
    let (facts, profile) = ordinary();
    bencher.bench_local(|| evaluate(black_box(&facts), black_box(&profile), black_box(NOW)));
}

#[divan::bench(name = "ladder")]
fn bench_ladder(bencher: Bencher<'_, '_>) {
    let (facts, profile) = ordinary();
    bencher.bench_local(|| ladder(black_box(&facts), black_box(&profile), black_box(NOW)));
}

#[divan::bench(name = "evaluate_line")]
fn bench_evaluate_line(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| evaluate_line(black_box(LINE)));
}

#[divan::bench(name = "ladder_line")]
fn bench_ladder_line(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| ladder_line(black_box(LINE)));
}
