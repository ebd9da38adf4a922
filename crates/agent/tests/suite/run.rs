//! A run, in time that passes as fast as nothing happens.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use protocol::ambient::ManualClock;
use qubictether_agent::{
    Error, Status,
    clock::{Clocks, Reading},
    transport::{Answering, Request, Transport},
};
use tokio::time::{Instant, sleep};

use crate::{
    rig::{Rig, license_key},
    server::{NOW, Server},
};

/// Clocks that go with the runtime's, and move the server's with them.
struct RuntimeClocks {
    begun: Instant,
    server: ManualClock,
}

impl RuntimeClocks {
    fn with(server: &Server) -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), server: server.books().clock.clone() })
    }
}

impl Clocks for RuntimeClocks {
    fn read(&self) -> Reading {
        let passed = i64::try_from(self.begun.elapsed().as_millis()).unwrap();
        self.server.set(NOW + passed / 1000);
        Reading { unix: NOW + passed / 1000, monotonic_ms: passed, boot_id: "boot-1".into() }
    }
}

fn rig() -> Rig {
    Rig::with(|builder, server| builder.clocks(RuntimeClocks::with(server)))
}

/// What a run reports within so many seconds, each with the second in which it came.
async fn reports(rig: &Rig, seconds: u64) -> Vec<(u64, Status)> {
    let (begun, reports) = (Instant::now(), Mutex::new(Vec::new()));
    let report = |status: &Status| reports.lock().unwrap().push((begun.elapsed().as_secs(), status.clone()));
    rig.agent.run(sleep(Duration::from_secs(seconds)), report).await.unwrap();
    reports.into_inner().unwrap()
}

fn states(reports: &[(u64, Status)]) -> Vec<(u64, &'static str)> {
    reports.iter().map(|(at, status)| (*at, status.state.unwrap().as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_beats_at_once_and_then_at_the_interval() {
    let rig = rig();
    rig.activate().await.unwrap();
    let reports = reports(&rig, 3000).await;
    assert_eq!(reports[0].0, 0);
    for pair in reports.windows(2) {
        assert!((270..=330).contains(&(pair[1].0 - pair[0].0)), "{pair:?}");
    }
    assert_eq!(rig.server.books().count("/v1/heartbeat"), reports.len());
}

#[tokio::test(start_paused = true)]
async fn a_run_with_a_license_key_activates_first_and_goes_on_trying() {
    let rig =
        Rig::with(|builder, server| builder.clocks(RuntimeClocks::with(server)).license_key(license_key()));
    rig.server.leave();
    let failed = reports(&rig, 100).await;
    assert!(failed.len() > 3 && failed.iter().all(|(_, status)| status.state.is_none()));
    assert!(failed.iter().all(|(_, status)| status.last_error.is_some()));
    rig.server.behave();
    let reports = reports(&rig, 1000).await;
    assert_eq!(reports[0].1.state, Some(policy::State::Authorized));
    assert!(rig.server.books().count("/v1/heartbeat") >= 2);
}

#[tokio::test(start_paused = true)]
async fn rungs_are_reported_when_they_are_reached_without_an_answer() {
    let rig = rig();
    rig.activate().await.unwrap();
    rig.server.leave();
    let reports = reports(&rig, 12_000).await;
    let states = states(&reports);
    let mut changes = states.clone();
    changes.dedup_by_key(|(_, state)| *state);
    assert_eq!(changes, [(0, "authorized"), (3600, "grace"), (7200, "degraded"), (10_800, "locked")]);
    assert!(reports.iter().all(|(_, status)| status.last_contact == Some(NOW)));
    let attempts = rig.server.books().count("/v1/heartbeat");
    assert!((40..200).contains(&attempts), "{attempts} attempts");
    assert_eq!(rig.counter(), u64::try_from(attempts).unwrap());
}

/// A server that answers the way to an activation, and nothing after it.
struct Fading(Arc<Server>);

impl Transport for Fading {
    fn send(&self, request: Request) -> Answering<'_> {
        if request.path == "/v1/heartbeat" { Box::pin(std::future::pending()) } else { self.0.send(request) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rung_is_reported_while_an_answer_is_being_waited_for() {
    let rig = Rig::with(|builder, server| {
        builder.clocks(RuntimeClocks::with(server)).transport(Arc::new(Fading(server.clone())))
    });
    rig.server.books().rungs[0].0 = 7;
    rig.activate().await.unwrap();
    let reports = reports(&rig, 60).await;
    assert_eq!(states(&reports), [(7, "grace")]);
}

#[tokio::test(start_paused = true)]
async fn whoever_subscribes_sees_a_rung_too() {
    let rig = rig();
    rig.activate().await.unwrap();
    rig.server.leave();
    let mut watched = rig.agent.subscribe();
    let grace = async {
        let is_grace = |status: &Option<Status>| {
            status.as_ref().is_some_and(|status| status.state == Some(policy::State::Grace))
        };
        watched.wait_for(is_grace).await.unwrap();
    };
    rig.agent.run(grace, |_| ()).await.unwrap();
    let status = fs::read_to_string(rig.file("status.json")).unwrap();
    assert!(status.contains("\"state\":\"grace\""), "{status}");
}

#[tokio::test(start_paused = true)]
async fn the_time_is_saved_once_a_minute_and_at_the_end() {
    let rig = rig();
    rig.activate().await.unwrap();
    rig.server.books().interval = 100_000;
    let saved = || rig.record()["install"]["time"]["reading"]["monotonic_ms"].as_i64().unwrap();
    let look = async {
        for minute in 1..=20_i64 {
            sleep(Duration::from_mins(1)).await;
            let age = minute * 60_000 - saved();
            assert!((0..=61_000).contains(&age), "{age} ms old after {minute} min");
        }
        sleep(Duration::from_secs(30)).await;
    };
    rig.agent.run(look, |_| ()).await.unwrap();
    assert_eq!(saved(), 1_230_000);
}

/// A server that never answers.
struct Silence(AtomicUsize);

impl Transport for Silence {
    fn send(&self, _: Request) -> Answering<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_at_once_while_it_waits_for_an_answer_and_no_attempt_lasts_for_ever() {
    let silence = Arc::new(Silence(AtomicUsize::new(0)));
    let rig = Rig::with(|builder, server| {
        builder.clocks(RuntimeClocks::with(server)).license_key(license_key()).transport(silence.clone())
    });
    let begun = Instant::now();
    rig.agent.run(sleep(Duration::from_secs(7)), |_| ()).await.unwrap();
    assert_eq!((begun.elapsed().as_secs(), silence.0.load(Ordering::SeqCst)), (7, 1));
    assert!(matches!(rig.activate().await, Err(Error::TimedOut)));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_broken_off_does_not_give_its_counter_back() {
    let rig = rig();
    rig.activate().await.unwrap();
    let silent = rig.another_over(2, Arc::new(Silence(AtomicUsize::new(0))));
    let broken_off = tokio::time::timeout(Duration::from_secs(1), silent.beat()).await;
    assert!(broken_off.is_err() && rig.counter() == 1);
    rig.agent.beat().await.unwrap();
    assert_eq!(rig.counter(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_process_at_a_time_runs_and_others_may_beat_meanwhile() {
    let rig = rig();
    rig.activate().await.unwrap();
    let (another, third) = (rig.another(2), rig.another(3));
    let meanwhile = async {
        sleep(Duration::from_secs(1)).await;
        assert!(matches!(another.run(std::future::pending(), |_| ()).await, Err(Error::Running { .. })));
        third.beat().await.unwrap();
        sleep(Duration::from_secs(1000)).await;
    };
    rig.agent.run(meanwhile, |_| ()).await.unwrap();
    let proofs = rig.server.books().proofs("/v1/heartbeat");
    assert!(proofs.is_sorted_by(|one, next| one.counter < next.counter), "{proofs:?}");
    assert!(proofs.len() > 3);
    // The place is free again.
    another.run(std::future::ready(()), |_| ()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_when_its_install_is_gone_or_its_folder_is_not_what_it_was() {
    let rig = rig();
    rig.activate().await.unwrap();
    let ended = rig.agent.run(
        async {
            rig.another(2).deactivate().await.unwrap();
            std::future::pending::<()>().await;
        },
        |_| (),
    );
    assert!(matches!(ended.await, Err(Error::NotActivated)));
    rig.activate().await.unwrap();
    let file = rig.file("state.json");
    let ended = rig.agent.run(
        async {
            fs::write(&file, "{").unwrap();
            std::future::pending::<()>().await;
        },
        |_| (),
    );
    assert!(matches!(ended.await, Err(Error::Corrupt { .. })));
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn the_socket_tells_what_holds_and_the_token() {
    use std::os::unix::fs::PermissionsExt;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    let rig = rig();
    rig.activate().await.unwrap();
    // One that an earlier process left behind is replaced.
    fs::write(rig.file("agent.sock"), "").unwrap();
    let ask = async |line: &str| {
        let mut stream = UnixStream::connect(rig.file("agent.sock")).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), head.to_ascii_lowercase(), body.to_owned())
    };
    let asking = async {
        sleep(Duration::from_millis(10)).await;
        let mode = fs::metadata(rig.file("agent.sock")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let (status, head, body) = ask("GET /v1/state").await;
        assert_eq!(status, "200");
        assert!(head.contains("content-type: application/json"), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap()["state"], "authorized");
        let (status, _, body) = ask("GET /v1/token").await;
        assert_eq!((status.as_str(), body), ("200", rig.agent.token().unwrap().unwrap().0));
        assert_eq!(ask("POST /v1/state").await.0, "405");
        assert_eq!(ask("GET /v1/secret").await.0, "404");
    };
    rig.agent.run(asking, |_| ()).await.unwrap();
}

#[tokio::test]
async fn a_run_can_be_spawned() {
    const fn is_send(_: &impl Send) {}

    let rig = Rig::new();
    let run = rig.agent.run(std::future::ready(()), |_| ());
    is_send(&run);
    assert!(matches!(run.await, Err(Error::NotActivated)));
}
