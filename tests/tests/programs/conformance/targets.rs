//! What the cases run against.

use std::path::PathBuf;
use std::process::Stdio;

use lambda_emulator::{Url, put_in_lambda};
use tokio::process::Command;

use super::{Base, Bases, Front, run};
use crate::site::{PATIENCE, Site};
use crate::until;

#[tokio::test]
async fn a_server_process_serves_the_protocol() {
    let site = Site::new().await;
    let server = site.serve().await;
    run(Bases::one(&Base::new(&server.url)), Front::Faithful, site).await;
}

#[tokio::test]
async fn lambda_functions_serve_the_protocol_each_at_its_own_url() {
    let site = Site::new().await;
    let functions = site.functions().await;
    let mut urls = Vec::new();
    for function in functions.all() {
        urls.push(Url::open(&[("/", function)]).await.unwrap());
    }
    let base = |url: &Url| Base::new(&format!("http://{}", url.address()));
    let [heartbeat, lease, auth, admin] = [0, 1, 2, 3].map(|number| base(&urls[number]));
    run(Bases { heartbeat, lease, auth, admin }, Front::Faithful, site).await;
}

/// The binaries that are built already, behind the function URLs of `cargo lambda watch`.
#[tokio::test]
async fn lambda_functions_serve_the_protocol_behind_cargo_lambda() {
    let site = Site::new().await;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let mut command = Command::new(cargo_lambda());
    command.args(["lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1", "--invoke-port"]);
    command.arg(port.to_string()).arg("--disable-cors").current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _watching = command.kill_on_drop(true).spawn().unwrap();
    let listening = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok();
    until("cargo lambda watch", PATIENCE, listening).await;
    let _processes = ["heartbeat", "lease", "auth", "admin"].map(|name| {
        let mut command = site.function(name);
        put_in_lambda(&mut command, name, &format!("http://127.0.0.1:{port}/.rt/{name}"));
        command.spawn().unwrap()
    });
    let base = |name: &str| Base::new(&format!("http://127.0.0.1:{port}/lambda-url/{name}"));
    let bases = Bases {
        heartbeat: base("heartbeat"),
        lease: base("lease"),
        auth: base("auth"),
        admin: base("admin"),
    };
    run(bases, Front::TextOnly, site).await;
}

/// `QT_CARGO_LAMBDA`, which `cargo xtask test` sets, else what is on the `PATH`.
fn cargo_lambda() -> PathBuf {
    std::env::var_os("QT_CARGO_LAMBDA").map_or_else(|| "cargo-lambda".into(), PathBuf::from)
}
