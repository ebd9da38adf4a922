//! A fleet whose server was away for half an hour comes back without a second wave.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use protocol::ambient::{Random, SeededRandom};
use protocol::jitter;
use qubictether_agent::schedule::Schedule;

/// What the fleet calls a second when all is well.
const USUAL: usize = 80;

/// What the server does a second: hardly more than that.
const CAPACITY: usize = 100;

/// Between two beats of an agent, seconds.
const INTERVAL: usize = 300;

const AGENTS: usize = USUAL * INTERVAL;

/// When the server goes, and when it is back, seconds.
const AWAY: Range<usize> = 600..2400;

/// When the simulation ends, seconds: many intervals later.
const END: usize = 6000;

/// How many calls came in each second of the fleet's life, and by when all were accepted again.
fn simulate(random: &dyn Random) -> (Vec<usize>, usize) {
    let mut schedules = vec![Schedule::default(); AGENTS];
    let first = |agent| Reverse((jitter::full(random, INTERVAL as u64 * 1000), agent));
    let mut due: BinaryHeap<_> = (0..AGENTS).map(first).collect();
    let (mut calls, mut accepted) = (vec![0; END], vec![0; END]);
    let (mut is_back, mut all_back) = (vec![false; AGENTS], 0);
    while let Some(Reverse((now_ms, agent))) = due.pop() {
        let now = usize::try_from(now_ms / 1000).unwrap();
        if now >= END {
            break;
        }
        calls[now] += 1;
        let is_there = !AWAY.contains(&now);
        let schedule = &mut schedules[agent];
        let delay = if is_there && accepted[now] < CAPACITY {
            accepted[now] += 1;
            if now >= AWAY.end && !std::mem::replace(&mut is_back[agent], true) {
                all_back = now;
            }
            schedule.after_success(INTERVAL as u64, random)
        } else {
            // What a server says that has too much to do; one that is away says nothing.
            let retry_after = is_there.then(|| 5 + jitter::full(random, 5));
            schedule.after_failure(INTERVAL as u64, retry_after, random)
        };
        due.push(Reverse((now_ms + delay.max(1), agent)));
    }
    assert!(is_back.iter().all(|is_back| *is_back));
    (calls, all_back)
}

/// The most calls in ten seconds, in hundredths of the usual.
fn peak(calls: &[usize]) -> usize {
    calls.chunks_exact(10).map(|ten| ten.iter().sum::<usize>() * 10 / USUAL).max().unwrap()
}

#[test]
fn after_half_an_hour_without_its_server_a_fleet_is_back_without_a_second_wave() {
    let (calls, all_back) = simulate(&SeededRandom::new(1));
    // The retries' delays have grown by then.
    let waiting = peak(&calls[AWAY.start + 700..AWAY.end]);
    assert!(waiting < 230, "who finds nobody calls about twice as often, and no oftener: {waiting}");
    assert!(all_back <= AWAY.end + 3 * INTERVAL, "everybody is back in three intervals: {all_back}");
    let waves: Vec<usize> = calls[AWAY.end..].chunks_exact(INTERVAL).map(peak).collect();
    assert!(waves[0] < 230, "who waited goes on as he did: {waves:?}");
    assert!(waves[1..].iter().all(|wave| *wave < waves[0]), "no later wave is as high: {waves:?}");
    assert!(waves[waves.len() - 1] < 130, "and they fade away: {waves:?}");
}
