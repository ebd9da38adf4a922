//! The server ends in order.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::site::Site;
use crate::{activate, heartbeat, until};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn on_sigterm_what_is_under_way_is_answered_and_nobody_new_is_let_in() {
    let site = Site::new().await;
    let key = site.license("{}", 5).await;
    let mut server = site.serve().await;
    let mut idle = server.connect().await;
    let mut agent = activate(&mut idle, &key, 1).await;

    // The interim answer says that the handler waits for the body: the request is under way.
    let (proof, body) = heartbeat(&mut agent);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /v1/heartbeat HTTP/1.1\r\nHost: {}\r\nAuthorization: {proof}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        server.address,
        body.len(),
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    timeout(PATIENCE, stream.read_exact(&mut interim)).await.unwrap().unwrap();
    assert_eq!(interim, *b"HTTP/1.1 100 Continue\r\n\r\n");

    server.ask_to_end();
    let refused = async || {
        let refusal = TcpStream::connect(server.address).await.err()?;
        (refusal.kind() == ErrorKind::ConnectionRefused).then_some(())
    };
    until("new connections to be refused", PATIENCE, refused).await;

    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(r#""state":"authorized""#), "{answer}");
    assert!(server.ended().await.success());
    assert_eq!(site.database.value("SELECT max(high) FROM installs").await, "1");
}
