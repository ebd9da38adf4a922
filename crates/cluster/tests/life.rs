//! The life of a cluster, against the PostgreSQL of this machine.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cluster::{Cluster, Error, Options, programs};

/// Runs a statement by `psql`; its answer, or what it said.
fn query(url: &str, statement: &str) -> Result<String, String> {
    let mut command = Command::new(programs().unwrap().join("psql"));
    command.args(["--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--quiet", "--dbname", url]);
    let output = command.args(["--command", statement]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A folder of a test's own, that goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("qubictether-life-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_was_committed_outlives_stop_kill_restart_and_another_opening_on_the_same_port() {
    let folder = Folder::new("durable");
    let mut cluster = Cluster::create_or_open(&folder.0, Options::durable()).unwrap();
    assert!(!cluster.is_running().unwrap());
    cluster.start().unwrap();
    let url = cluster.url("postgres");
    query(&url, "CREATE TABLE kept (n int)").unwrap();

    query(&url, "INSERT INTO kept VALUES (1)").unwrap();
    cluster.kill().unwrap();
    assert!(!cluster.is_running().unwrap());
    query(&url, "SELECT 1").unwrap_err();
    cluster.start().unwrap();
    assert_eq!(cluster.url("postgres"), url);

    query(&url, "INSERT INTO kept VALUES (2)").unwrap();
    cluster.restart().unwrap();

    query(&url, "INSERT INTO kept VALUES (3)").unwrap();
    cluster.stop().unwrap();
    assert!(!cluster.is_running().unwrap());
    drop(cluster);

    let mut cluster = Cluster::create_or_open(&folder.0, Options::durable()).unwrap();
    cluster.start().unwrap();
    assert_eq!(cluster.url("postgres"), url);
    assert_eq!(query(&url, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM kept").unwrap(), "1 2 3");
    assert_eq!(query(&url, "SHOW fsync").unwrap(), "on");
}

#[test]
fn a_temporary_cluster_stops_and_goes_when_it_is_dropped() {
    let mut cluster = Cluster::temporary(Options::throwaway().set("work_mem", "7MB")).unwrap();
    cluster.start().unwrap();
    let (folder, url) = (cluster.folder().to_owned(), cluster.url("postgres"));
    assert_eq!(query(&url, "SHOW fsync").unwrap(), "off");
    assert_eq!(query(&url, "SHOW work_mem").unwrap(), "7MB");
    drop(cluster);
    assert!(!folder.exists());
    query(&url, "SELECT 1").unwrap_err();
}

#[test]
fn nobody_gets_in_without_the_password_which_only_the_owner_can_read() {
    let mut cluster = Cluster::temporary(Options::throwaway()).unwrap();
    cluster.start().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(cluster.folder()), 0o700);
    assert_eq!(mode(&cluster.folder().join("password")), 0o600);

    let password = fs::read_to_string(cluster.folder().join("password")).unwrap();
    assert!(!format!("{cluster:?}").contains(&password));
    let url = cluster.url("postgres");
    for other in ["", ":", ":wrong"] {
        let refused = query(&url.replace(&format!(":{password}"), other), "SELECT 1").unwrap_err();
        assert!(refused.contains("password"), "{refused}");
    }
}

#[test]
fn a_server_that_was_left_running_goes_on_for_the_next_who_opens_it() {
    let folder = Folder::new("left");
    let mut cluster = Cluster::create_or_open(&folder.0, Options::throwaway()).unwrap();
    cluster.start().unwrap();
    let begun = query(&cluster.url("postgres"), "SELECT pg_postmaster_start_time()").unwrap();
    cluster.leave_running();

    let mut cluster = Cluster::create_or_open(&folder.0, Options::throwaway()).unwrap();
    cluster.start().unwrap();
    assert_eq!(query(&cluster.url("postgres"), "SELECT pg_postmaster_start_time()").unwrap(), begun);
    cluster.leave_running();

    let mut cluster =
        Cluster::create_or_open(&folder.0, Options::throwaway().set("work_mem", "7MB")).unwrap();
    cluster.start().unwrap();
    assert_eq!(query(&cluster.url("postgres"), "SHOW work_mem").unwrap(), "7MB");
}

#[test]
fn two_cannot_have_one_folder_open() {
    let folder = Folder::new("twice");
    let _first = Cluster::create_or_open(&folder.0, Options::throwaway()).unwrap();
    let second = Cluster::create_or_open(&folder.0, Options::throwaway());
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let folder = Folder::new("else");
    fs::create_dir(&folder.0).unwrap();
    fs::write(folder.0.join("thesis.txt"), "of years").unwrap();
    let refused = Cluster::create_or_open(&folder.0, Options::throwaway());
    assert!(matches!(refused, Err(Error::NotACluster { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn root_is_told_which_folder_is_closed_to_postgres() {
    let closed = Folder::new("closed");
    fs::create_dir(&closed.0).unwrap();
    fs::set_permissions(&closed.0, fs::Permissions::from_mode(0o700)).unwrap();
    let made = Cluster::create_or_open(closed.0.join("cluster"), Options::throwaway());
    // Whoever isn't root runs the server himself, and passes.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let refused = matches!(&made, Err(Error::NotTraversable { folder }) if *folder == closed.0);
    assert_eq!((refused, made.is_ok()), (is_root, !is_root), "{made:?}");
}

#[test]
fn a_failed_start_says_what_the_log_says() {
    let mut cluster = Cluster::temporary(Options::throwaway().set("no_such_setting", "1")).unwrap();
    let error = cluster.start().unwrap_err().to_string();
    assert!(error.contains("no_such_setting"), "{error}");
}

#[test]
fn the_server_goes_when_its_program_is_killed() {
    // This test runs itself anew as the program that is killed.
    const ROLE: &str = "QT_TEST_HOLDS_A_CLUSTER";
    if std::env::var_os(ROLE).is_some() {
        let mut cluster = Cluster::temporary(Options::throwaway()).unwrap();
        cluster.start().unwrap();
        println!("folder={}\nurl={}", cluster.folder().display(), cluster.url("postgres"));
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_server_goes_when_its_program_is_killed", "--nocapture"]).env(ROLE, "1");
    let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(holder.stdout.take().unwrap()));
    let mut find =
        |name: &str| lines.by_ref().find_map(|line| line.unwrap().strip_prefix(name).map(str::to_owned));
    let (folder, url) = (PathBuf::from(find("folder=").unwrap()), find("url=").unwrap());
    query(&url, "SELECT 1").unwrap();

    holder.kill().unwrap();
    holder.wait().unwrap();
    // `pg_ctl` and `rm` of the one that watches take a moment: there is nothing to wait on but their effect.
    let begun = std::time::Instant::now();
    while folder.exists() {
        assert!(begun.elapsed().as_secs() < 60, "{} is still there", folder.display());
        std::thread::yield_now();
    }
    query(&url, "SELECT 1").unwrap_err();
}
