//! Webhooks, delivered by the real programs: by `serve`, by another when one is killed, by a Lambda function's schedule.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use edge::testing::{Received, Receiver};
use lambda_emulator::Failure;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::site::{PATIENCE, Site};
use crate::until;

/// A site whose webhooks may be on this machine.
async fn site() -> Site {
    let mut site = Site::new().await;
    site.besides.push(("QT_WEBHOOK_PRIVATE_TARGETS", "allow".to_owned()));
    site
}

/// Has somebody told of everything. Returns the webhook, with its secret.
async fn listen(site: &Site, url: &str) -> Value {
    site.operate(&["webhook", "create", "--url", url]).await
}

async fn ping(site: &Site, webhook: &Value) -> String {
    let queued = site.operate(&["webhook", "ping", webhook["id"].as_str().unwrap()]).await;
    queued["id"].as_str().unwrap().to_owned()
}

async fn came(receiver: &Receiver, count: usize) -> Vec<Received> {
    timeout(PATIENCE, receiver.wait_for(count)).await.unwrap_or_else(|_| panic!("{:?}", receiver.events()))
}

async fn deliveries(site: &Site, webhook: &Value) -> Vec<Value> {
    let listed = site.operate(&["webhook", "deliveries", webhook["id"].as_str().unwrap()]).await;
    listed.as_array().unwrap().clone()
}

async fn delivered(site: &Site, webhook: &Value, count: usize) {
    let all = async || {
        let found = deliveries(site, webhook).await;
        (found.iter().filter(|row| row["status"] == "delivered").count() == count).then_some(())
    };
    until("everything to be delivered", PATIENCE, all).await;
}

/// Has Python's `standardwebhooks` verify a message, and fail on one that differs in a letter.
fn verify(secret: &str, message: &Received) {
    let python = std::env::var_os("QT_PYTHON").expect(
        "QT_PYTHON names no Python interpreter that has crates/jose-jwt/tests/interop/requirements.txt: run this by \
         `cargo xtask test`, which makes one",
    );
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value = names.iter().map(|name| ((*name).to_owned(), json!(message.header(name)))).collect();
    let script = "import json, sys\n\
                  from standardwebhooks import Webhook, WebhookVerificationError\n\
                  made = json.load(sys.stdin)\n\
                  webhook = Webhook(made['secret'])\n\
                  print(webhook.verify(made['body'], made['headers'])['type'])\n\
                  try:\n    webhook.verify(made['body'] + ' ', made['headers'])\n\
                  except WebhookVerificationError:\n    print('refused')\n";
    let mut child = std::process::Command::new(python)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let made = json!({ "secret": secret, "headers": headers, "body": message.body });
    child.stdin.take().unwrap().write_all(made.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().collect::<Vec<_>>(), [message.event().as_str(), "refused"]);
}

#[tokio::test]
async fn what_serve_tells_is_verified_by_another_implementation_and_its_secret_is_in_no_log() {
    let site = site().await;
    let receiver = Receiver::open().await;
    let webhook = listen(&site, &receiver.url()).await;
    let server = site.serve().await;
    let key = site.license("{}", 5).await;
    let made = came(&receiver, 1).await.remove(0);
    assert_eq!(made.event(), "license.created");
    crate::activate(&mut server.connect().await, &key, 1).await;
    let license = site.database.value("SELECT id FROM licenses").await;
    let activated = came(&receiver, 2).await.remove(1);
    site.operate(&["license", "revoke", &license]).await;
    let revoked = came(&receiver, 3).await.remove(2);
    // It sweeps when it starts.
    let other = site.serve().await;
    let fallen = came(&receiver, 4).await.remove(3);
    assert_eq!(
        (&*activated.event(), &*revoked.event(), &*fallen.event()),
        ("install.state_changed", "license.revoked", "install.state_changed")
    );
    assert_eq!(fallen.json()["data"]["to"]["reason"], "license_revoked", "the sweep has been through it");
    let secret = webhook["secret"].as_str().unwrap();
    for message in [made, activated, revoked, fallen] {
        verify(secret, &message);
    }
    delivered(&site, &webhook, 4).await;
    let logs = site.logs();
    assert!(!logs.contains(secret.strip_prefix("whsec_").unwrap()));
    assert!(logs.contains("listening"), "the search does find what is there");
    drop((server, other));
}

#[tokio::test]
async fn what_a_killed_server_was_sending_another_sends_and_one_that_ends_in_order_finishes_it() {
    let site = site().await;
    let receiver = Receiver::open().await;
    let webhook = listen(&site, &receiver.url()).await;
    let id = ping(&site, &webhook).await;
    receiver.answer_with([None]);
    let server = site.serve().await;
    came(&receiver, 1).await;
    server.kill().await;
    // What would otherwise take a minute: that the dead one's time is over.
    site.database.run("UPDATE webhook_deliveries SET due_at = due_at - interval '1 minute'").await;
    let mut other = site.serve().await;
    let messages = came(&receiver, 2).await;
    assert!(messages.iter().all(|message| message.header("webhook-id") == id), "one message, at least once");
    delivered(&site, &webhook, 1).await;

    // A target that takes its time, while the server is told to end.
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = listen(&site, &format!("http://{}/", slow.local_addr().unwrap())).await;
    ping(&site, &webhook).await;
    let (mut stream, _) = timeout(PATIENCE, slow.accept()).await.unwrap().unwrap();
    let mut head = [0; 1024];
    assert!(stream.read(&mut head).await.unwrap() > 0);
    other.ask_to_end();
    let refused = async || tokio::net::TcpStream::connect(other.address).await.err().map(drop);
    until("new connections to be refused", PATIENCE, refused).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert!(other.ended().await.success());
    assert_eq!(deliveries(&site, &webhook).await[0]["status"], "delivered");
}

#[tokio::test]
async fn two_servers_tell_each_change_once() {
    let site = site().await;
    let receiver = Receiver::open().await;
    let webhook = listen(&site, &receiver.url()).await;
    site.license("{}", 5).await;
    let servers = [site.serve().await, site.serve().await];
    let license = site.database.value("SELECT id FROM licenses").await;
    for _ in 0..5 {
        site.operate(&["license", "suspend", &license]).await;
        site.operate(&["license", "resume", &license]).await;
    }
    delivered(&site, &webhook, 11).await;
    let mut ids: Vec<_> = receiver.received().iter().map(|message| message.header("webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), receiver.received().len()), (11, 11));
    drop(servers);
}

#[tokio::test]
async fn a_schedules_event_has_the_admin_function_do_what_serve_does_in_the_background() {
    let site = site().await;
    let receiver = Receiver::open().await;
    let webhook = listen(&site, &receiver.url()).await;
    site.license("{}", 5).await;
    let functions = site.functions().await;
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'heartbeats'::regclass";
    let made = site.database.value(partitions).await;
    let last =
        "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'heartbeats'::regclass";
    let last = site.database.value(last).await;
    site.database.run(&format!("DROP TABLE {last}")).await;
    site.database.run("UPDATE licenses SET starts_at = to_timestamp(1), expires_at = to_timestamp(2)").await;
    for source in ["aws.events", "aws.scheduler"] {
        let event = json!({ "version": "0", "id": "a", "detail-type": "Scheduled Event", "source": source,
                            "account": "111122223333", "time": "2026-11-01T00:00:00Z", "region": "eu-central-1",
                            "resources": [], "detail": {} });
        let answer = functions.admin.invoke(event.to_string()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["statusCode"], 204);
        assert_eq!(receiver.events(), ["license.created", "license.ended"], "swept, then told, once");
        assert_eq!(site.database.value(partitions).await, made);
        // Who has no schedule doesn't know such events.
        let refused = functions.auth.invoke(event.to_string()).await.unwrap_err();
        assert!(matches!(&refused, Failure::Told(text) if text.contains("function URL")), "{refused:?}");
    }
    delivered(&site, &webhook, 2).await;
    let forged = json!({ "source": "aws.s3", "detail-type": "Scheduled Event" });
    assert!(functions.admin.invoke(forged.to_string()).await.is_err());
}

#[tokio::test]
async fn a_certificate_is_believed_when_the_machine_believes_its_authority() {
    let site = site().await;
    let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let roots = site.folder().join("roots.pem");
    fs::write(&roots, authority.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(authority.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![authority.cert.der().clone()], key)
            .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            let status =
                if head[..read].starts_with(b"POST /hook HTTP/1.1\r\n") { "204 No Content" } else { "400 -" };
            stream
                .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
                .await
                .unwrap();
        }
    });
    let webhook = listen(&site, &format!("https://localhost:{port}/hook")).await;
    let elsewhere = listen(&site, &format!("https://127.0.0.1:{port}/hook")).await;
    ping(&site, &webhook).await;
    ping(&site, &elsewhere).await;
    let server = site.start(site.operator().env("SSL_CERT_FILE", &roots)).await;
    delivered(&site, &webhook, 1).await;
    let failed = async || {
        let row = deliveries(&site, &elsewhere).await.remove(0);
        (row["error"] == "tls_failed").then_some(())
    };
    until("another name to be refused", Duration::from_secs(20), failed).await;
    drop(server);
}
