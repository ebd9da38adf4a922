//! Nothing is sent to where this server alone could reach: whatever the URL says, and whatever its name resolves to.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ::admin::webhook::{Connecting, Internet, Network, Resolving, Sender, deliver_due};
use edge::testing::Receiver;
use protocol::admin::Role;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Client;
use super::webhooks::deliver;
use crate::World;

/// A network whose resolver answers what the test says, in turn, and whose every address leads to the receiver.
struct Rebinding {
    answers: Mutex<Vec<Vec<SocketAddr>>>,
    /// Where connections were made to.
    connected: Mutex<Vec<SocketAddr>>,
    receiver: SocketAddr,
}

impl Network for Rebinding {
    fn resolve<'a>(&'a self, _name: &'a str, _port: u16) -> Resolving<'a> {
        let answer = self.answers.lock().unwrap().pop();
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("it doesn't resolve")) })
    }

    fn connect(&self, address: SocketAddr) -> Connecting<'_> {
        self.connected.lock().unwrap().push(address);
        Internet.connect(self.receiver)
    }
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A webhook to a name, and a ping that is due.
async fn pinged(world: &World, url: &str) -> (Client, String) {
    let owner = world.script(Role::Owner).await;
    let made = owner.post("/webhooks", &json!({ "url": url, "events": ["*"] })).await;
    assert_eq!(made.status, 201, "{}", made.word());
    let path = format!("/webhooks/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(owner.post(&format!("{path}/ping"), &Value::Null).await.status, 202);
    (owner, format!("{path}/deliveries"))
}

#[tokio::test]
async fn a_name_is_resolved_once_an_attempt_and_connected_to_where_it_was_looked_at() {
    let world = World::new().await;
    let receiver = Receiver::open().await;
    let (owner, path) = pinged(&world, "https://rebinding.example/hook").await;
    let network = Arc::new(Rebinding {
        // The last one comes first.
        answers: Mutex::new(vec![
            addresses(&["8.8.4.4:443", "169.254.169.254:443"]),
            addresses(&["[::ffff:10.0.0.1]:443"]),
            addresses(&["127.0.0.1:443"]),
            addresses(&["8.8.8.8:443"]),
        ]),
        connected: Mutex::default(),
        receiver: receiver.address(),
    });
    let sender = Arc::new(Sender::over(network.clone(), false));
    for (attempt, error) in [
        // It speaks no TLS there.
        (1, "tls_failed"),
        (2, "address_refused"),
        (3, "address_refused"),
        (4, "address_refused"),
        (5, "name_not_resolved"),
    ] {
        deliver_due(world.server.edge.clone(), sender.clone(), watch::channel(false).1).await.unwrap();
        let row = owner.get(&path).await.json()["items"][0].clone();
        assert_eq!((&row["attempts"], &row["error"]), (&json!(attempt), &json!(error)));
        assert_eq!(*network.connected.lock().unwrap(), addresses(&["8.8.8.8:443"]), "and nowhere else");
        world.pass(3_600);
    }
    assert_eq!(receiver.events(), [""; 0]);
}

#[tokio::test]
async fn what_was_made_while_private_targets_were_allowed_is_refused_when_they_are_not_any_more() {
    let world = World::with_webhooks("{}").await;
    let receiver = Receiver::open().await;
    let (owner, path) = pinged(&world, &receiver.url()).await;
    let sender = Arc::new(Sender::new(false));
    deliver_due(world.server.edge.clone(), sender, watch::channel(false).1).await.unwrap();
    assert_eq!(owner.get(&path).await.json()["items"][0]["error"], "address_refused");
    assert_eq!(receiver.events(), [""; 0]);
    world.pass(60);
    deliver(&world.server).await;
    assert_eq!(receiver.events(), ["webhook.ping"]);
}

#[tokio::test]
async fn who_is_not_there_or_speaks_no_http_is_told_apart() {
    let world = World::with_webhooks("{}").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (owner, path) = pinged(&world, &format!("http://{address}/")).await;
    let hanging_up = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
    deliver(&world.server).await;
    hanging_up.await.unwrap();
    let error = async || owner.get(&path).await.json()["items"][0]["error"].clone();
    assert_eq!(error().await, "no_answer");
    world.pass(60);
    deliver(&world.server).await;
    assert_eq!(error().await, "not_reached");
    let row = owner.get(&path).await.json()["items"][0].clone();
    assert_eq!((&row["status_code"], &row["status"]), (&json!(null), &json!("pending")));
}
