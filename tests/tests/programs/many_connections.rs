//! More clients than a process may have open files.

use futures_util::future::join_all;
use http::header::CONNECTION;
use tokio::process::Command;

use crate::site::Site;

/// What the server may have at most, and what it begins with.
const OPEN_FILES: &str = "ulimit -S -n 64 && ulimit -H -n 300 && exec \"$0\" \"$@\"";

const CLIENTS: usize = 400;

#[tokio::test]
async fn clients_beyond_the_open_files_wait_for_a_place_and_nobody_keeps_one_that_others_want() {
    let site = Site::new().await;
    let operator = site.operator();
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", OPEN_FILES]).arg(operator.as_std().get_program());
    limited.envs(site.settings()).env("QT_LISTEN", "127.0.0.1:0").kill_on_drop(true);
    let server = site.start(&mut limited).await;

    let mut first = server.connect().await;
    let answer = first.get("/healthz").await;
    assert_eq!((answer.status, answer.headers.get(CONNECTION)), (200, None), "there is room for everybody");

    let mut clients = join_all((0..CLIENTS).map(|_| server.connect())).await;
    let answers = join_all(clients.iter_mut().map(|client| client.get("/healthz"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "all are served, though all stay connected");
    assert!(!site.logs().contains("can't be accepted"), "whoever was accepted had a place");
}
