//! The program with a lease, under wall clocks that stand, jump and are wrong: Debian's `faketime`.
//!
//! What is simulated: `faketime` answers for libc, so the program's wall clock is false. Its monotonic clock isn't: the
//! program asks the kernel itself for `CLOCK_BOOTTIME`, which no library in between can answer for, and a test here holds
//! that. Nothing waits for days: rungs lie seconds apart. A restart of the machine is simulated by giving what was saved
//! another boot's id, which is all by which the program tells one start of the machine from the next.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::{Duration, Instant},
};

use policy::State;
use serde_json::Value;

use crate::{
    server::NOW,
    site::{Site, json, terminate},
};

/// The library that answers for libc, wherever this architecture's are.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists()).expect("faketime is missing: run `cargo xtask setup`")
}

/// No test takes longer, in seconds.
const PATIENCE: i64 = 60;

/// The command under a wall clock: `+8d` and the like run that far off, a date stands still.
fn under(clock: &str, site: &Site, arguments: &[&str]) -> Command {
    let mut command = site.command(arguments);
    command.env("TZ", "UTC").env("LD_PRELOAD", library()).env("FAKETIME", clock);
    command
}

fn run(clock: &str, site: &Site, arguments: &[&str]) -> Output {
    under(clock, site, arguments).output().unwrap()
}

/// State, rule and reason under a wall clock.
fn word(clock: &str, site: &Site) -> String {
    let output = run(clock, site, &["status", "--json"]);
    let status = json(&output);
    let text = |name: &str| status[name].as_str().unwrap().to_owned();
    format!("{} {} {} {}", output.status.code().unwrap(), text("state"), status["rule"], text("reason"))
}

/// A machine with a lease of a week.
fn leased(clock: &str) -> Site {
    let site = Site::new();
    let activation = |arguments: &[&str]| {
        let output = run(clock, &site, arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    activation(&site.activation().iter().map(String::as_str).collect::<Vec<_>>());
    activation(&["lease", "take"]);
    site
}

/// The machine is restarted: what was saved is another boot's.
fn restart(site: &Site) {
    let file = site.file("state.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    record["install"]["time"]["reading"]["boot_id"] = "an-earlier-boot".into();
    record["install"]["server_time"]["reading"]["boot_id"] = "an-earlier-boot".into();
    fs::write(file, record.to_string()).unwrap();
}

/// The time that a status says, in seconds after the lease was taken.
fn passed(output: &Output) -> i64 {
    json(output)["at"].as_i64().unwrap() - NOW
}

#[test]
fn what_the_wall_clock_says_while_the_machine_is_up_means_nothing() {
    let site = leased("+0");
    site.server.leave();
    for clock in ["+8d", "-8d", "+20y", "2038-01-19 03:14:07", "1999-12-31 23:59:59"] {
        let output = run(clock, &site, &["status", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{clock}");
        assert!((0..=PATIENCE).contains(&passed(&output)), "{clock}: {output:?}");
        assert_eq!(word(clock, &site), "0 authorized 14 ok", "{clock}");
    }
}

#[test]
fn a_wall_clock_that_stands_still_stops_no_lease() {
    let site = leased("+0");
    // From the grant on: leased after a second, its end after four.
    site.server.books().rungs =
        vec![(1, State::Grace, 11), (3, State::Degraded, 10), (1000, State::Locked, 9)];
    assert_eq!(run("+0", &site, &["lease", "take", "--for", "4s"]).status.code(), Some(0));
    site.server.leave();
    // Timers go on, as they do under any wall clock.
    let mut command = under("2026-01-01 00:00:00", &site, &["run"]);
    let mut child = command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").spawn().unwrap();
    let mut line = Site::lines(&mut child);
    let mut states = Vec::new();
    while states.last() != Some(&"degraded".to_owned()) {
        states.push(line()["state"].as_str().unwrap().to_owned());
        states.dedup();
    }
    assert_eq!(terminate(child), Some(0));
    assert!(states.ends_with(&["leased", "grace", "degraded"].map(str::to_owned)), "{states:?}");
}

#[test]
fn a_clock_that_was_turned_back_over_a_restart_is_found_out_until_the_server_is_heard() {
    let site = leased("+0");
    restart(&site);
    assert_eq!(word("-59m", &site), "0 authorized 14 ok", "an hour is forgiven");
    // What was just saved is the new boot's.
    restart(&site);
    assert_eq!(word("-3h", &site), "23 locked 0 clock_rollback");
    restart(&site);
    assert_eq!(word("+0", &site), "23 locked 0 clock_rollback", "that it is right again is no excuse");
    site.server.leave();
    assert_eq!(run("+0", &site, &["beat"]).status.code(), Some(4));
    assert_eq!(word("+0", &site), "23 locked 0 clock_rollback");
    site.server.behave();
    assert_eq!(run("-3h", &site, &["beat"]).status.code(), Some(0));
    assert_eq!(word("-3h", &site), "0 authorized 14 ok");
}

#[test]
fn a_clock_that_is_merely_wrong_harms_nobody() {
    for clock in ["-10y", "-1d", "+1d", "+10y"] {
        let site = leased(clock);
        site.server.leave();
        restart(&site);
        let output = run(clock, &site, &["status", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{clock}");
        assert!((0..=PATIENCE).contains(&passed(&output)), "{clock}: {output:?}");
        // Proofs are made for the server's time, and a lease is renewed under that clock.
        site.server.behave();
        assert_eq!(run(clock, &site, &["beat"]).status.code(), Some(0), "{clock}");
        assert_eq!(run(clock, &site, &["lease", "take"]).status.code(), Some(0), "{clock}");
    }
}

#[test]
fn how_long_the_machine_was_off_counts_against_its_lease() {
    let site = leased("+0");
    site.server.leave();
    restart(&site);
    assert_eq!(word("+2h", &site), "0 leased 12 offline_lease");
    // It went on by six days and 22 hours: from two hours on, that is the lease's end.
    restart(&site);
    assert_eq!(word("+7d", &site), "20 grace 11 out_of_contact");
    restart(&site);
    assert_eq!(word("+10y", &site), "23 locked 9 out_of_contact");
    // And a clock that was far ahead over a restart makes nobody deaf.
    site.server.behave();
    assert_eq!(run("+10y", &site, &["beat"]).status.code(), Some(0));
    assert_eq!(word("+10y", &site), "0 authorized 14 ok");
}

#[test]
fn faketime_does_fake_the_wall_clock() {
    let site = leased("+0");
    let begun = Instant::now();
    let reading = |clock: &str| {
        assert_eq!(run(clock, &site, &["beat"]).status.code(), Some(0));
        let books = site.server.books();
        let body: Value =
            serde_json::from_slice(&books.requests.last().unwrap().body.clone().unwrap()).unwrap();
        let number = |name: &str| body["clock"][name].as_i64().unwrap();
        (number("unix"), number("monotonic_ms"))
    };
    let (honest, ahead, still) = (reading("+0"), reading("+8d"), reading("2030-01-01 00:00:00"));
    assert!((honest.0 + 691_200..honest.0 + 691_200 + PATIENCE).contains(&ahead.0), "{honest:?} {ahead:?}");
    assert_eq!(still.0, 1_893_456_000);
    let measured = i64::try_from(begun.elapsed().as_millis()).unwrap();
    assert!((0..=measured).contains(&(still.1 - honest.1)), "{honest:?} {still:?}");
    assert!(begun.elapsed() < Duration::from_mins(1));
}
