//! How a function starts, and what it does when it can't.

use std::time::Duration;

use lambda_emulator::{Function, Url};
use store::testing::TestDatabase;
use tokio::process::Command;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::site::{PATIENCE, Site, program};
use crate::wire::Wire;
use crate::{activate, until};

#[tokio::test]
async fn each_function_serves_its_own_paths_and_no_others() {
    let site = Site::new().await;
    let functions = site.functions().await;
    let own = [
        (&functions.heartbeat, vec![("/v1/heartbeat", 405)]),
        (&functions.lease, vec![("/v1/leases", 405), ("/v1/leases/x/return", 405)]),
        (&functions.auth, vec![("/v1/activate", 405), ("/v1/keyset", 200), ("/.well-known/jwks.json", 200)]),
        (&functions.admin, vec![]),
    ];
    for (function, paths) in &own {
        let url = Url::open(&[("/", function)]).await.unwrap();
        let mut connection = Connection::open(url.address()).await;
        for path in ["/healthz", "/readyz"] {
            assert_eq!(connection.get(path).await.status, 200, "{path}");
        }
        // A function URL is open to the world.
        assert_eq!(connection.get("/metrics").await.word(), "404 not_found");
        let others = own.iter().flat_map(|(_, paths)| paths).filter(|path| !paths.contains(path));
        for (path, status) in paths.iter().copied().chain(others.map(|(path, _)| (*path, 404))) {
            let answer = connection.get(path).await;
            assert_eq!(answer.status, status, "{path}");
            assert!(answer.headers.contains_key("x-request-id"), "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_for_good_ends_the_function_with_a_line_that_names_it() {
    let site = Site::new().await;
    let empty = TestDatabase::empty().await;
    for (name, value, said) in [
        ("QT_DATABASE_URL", "mysql://root:geheim@localhost/qt", "QT_DATABASE_URL"),
        ("QT_DATABASE_URL", empty.url.as_str(), "migrate"),
        ("QT_DATABASE_CONNECTIONS", "0", "QT_DATABASE_CONNECTIONS"),
        ("QT_KEK_FILE", "/nonexistent/kek", "/nonexistent/kek"),
        ("QT_LOG", "loud=very=much", "QT_LOG"),
    ] {
        let mut command = site.function("heartbeat");
        command.env("QT_LOG", "error").env(name, value);
        let line = refused(&mut command).await;
        assert!(line.contains(said) && !line.contains("geheim"), "{name}={value}: {line}");
    }
    // Whoever runs it by hand.
    let line = refused(&mut program("heartbeat")).await;
    assert!(line.contains("Lambda") && line.contains("qubictether serve"), "{line}");
}

/// The one line that a function says which doesn't start: JSON.
async fn refused(command: &mut Command) -> String {
    if command.as_std().get_envs().any(|(name, value)| name == "QT_KEK_FILE" && value.is_some()) {
        // Nobody listens there, which a function that doesn't start never finds out.
        command.env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1").env("AWS_LAMBDA_FUNCTION_NAME", "f");
    }
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let output = timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    assert!(output.status.code().is_some_and(|code| code != 0), "{:?}", output.status);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    let line: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(line["level"], "ERROR");
    line["fields"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_function_that_starts_before_its_database_refuses_until_it_is_there() {
    let site = Site::new().await;
    let key = site.license("{}", 5).await;
    let wire = Wire::open_to(&site.database.url).await;
    wire.set_open(false);
    let mut command = site.function("auth");
    command.env("QT_DATABASE_URL", wire.url());
    let mut function = Function::start("auth", [command]).await.unwrap();
    timeout(PATIENCE, function.ready()).await.expect("it starts").expect("it doesn't end");
    let url = Url::open(&[("/", &function)]).await.unwrap();
    let mut connection = Connection::open(url.address()).await;

    let refused = connection.get("/v1/keyset").await;
    assert_eq!(refused.word(), "503 unavailable");
    for header in ["retry-after", "x-request-id", "x-content-type-options"] {
        assert!(refused.headers.contains_key(header), "{header}");
    }
    assert_eq!(refused.json()["request_id"], refused.headers["x-request-id"].to_str().unwrap());
    assert_eq!(connection.get("/readyz").await.word(), "503 unavailable");
    assert_eq!(connection.get("/healthz").await.status, 200, "the process is up");

    wire.set_open(true);
    activate(&mut connection, &key, 1).await;
    wire.set_open(false);
    let away = async || (connection.get("/readyz").await.status == 503).then_some(());
    until("the database's end to be noticed", Duration::from_secs(10), away).await;
    wire.set_open(true);
    activate(&mut connection, &key, 2).await;
}
