//! Bytes that no client of the protocol's sends, on real sockets: the server refuses, and goes on.

use std::net::SocketAddr;
use std::time::Duration;

use protocol::ambient::{Random, SeededRandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::site::Site;
use crate::{activate, heartbeat};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn whatever_is_sent_the_server_answers_without_fault_and_goes_on() {
    let site = Site::new().await;
    let key = site.license("{}", 5).await;
    let server = site.serve().await;
    let address = server.address;
    let mut agent = activate(&mut server.connect().await, &key, 1).await;

    for seed in 0..32 {
        let mut noise = vec![0; 1 << (seed % 14)];
        SeededRandom::new(seed).fill(&mut noise);
        refused_or_cut(&noise, address).await;
        // The same after a beginning that is right.
        refused_or_cut(
            &[b"POST /v1/heartbeat HTTP/1.1\r\nHost: a\r\n", &noise[..], b"\r\n\r\n"].concat(),
            address,
        )
        .await;
    }
    let long = "x".repeat(9 * 1024);
    for (bytes, statuses) in [
        (head("GET /healthz", &format!("X-Long: {long}\r\n")), &[413, 431][..]),
        (head("GET /healthz", &"X-Many: y\r\n".repeat(2000)), &[413, 431]),
        (head("GET /healthz", &format!("X-Huge: {}\r\n", long.repeat(200))), &[413, 431]),
        (head(&format!("GET /{}", long.repeat(20)), ""), &[413, 414, 431]),
        (head("POST /v1/activate", "Content-Type: application/json\r\nContent-Length: 99999999\r\n"), &[413]),
        (head("POST /v1/activate", "Content-Length: -1\r\n"), &[400]),
        (head("POST /v1/activate", "Content-Length: 1\r\nContent-Length: 2\r\n"), &[400]),
        (head("POST /v1/heartbeat", "Transfer-Encoding: chunked\r\n") + "zz\r\n", &[400, 401]),
        (chunked(), &[413]),
        (head("BREW /v1/heartbeat", ""), &[405]),
        (head("GET /v1/../../etc/passwd", ""), &[404]),
        (head("GET /%00%ff", ""), &[404]),
        (head("GET http://elsewhere.test/healthz", ""), &[200, 400, 404]),
    ] {
        let status = status(bytes.as_bytes(), address).await;
        let shown = &bytes[..bytes.len().min(60)];
        assert!(statuses.contains(&status), "{status} instead of {statuses:?} to {shown:?}");
    }
    // A body longer than it was said to be: what is too much is the next request, and none.
    let longer = head("POST /v1/activate", "Content-Type: application/json\r\nContent-Length: 2\r\n")
        + "{}garbage\r\n\r\n";
    assert_eq!(status(longer.as_bytes(), address).await, 422);

    // Half a request, and then nothing: by one who hangs up, and by many who don't.
    drop(sent(b"POST /v1/heartbeat HTTP/1.1\r\nHost: a\r\nContent-Len", address).await);
    drop(sent(head("POST /v1/activate", "Content-Length: 100\r\n").as_bytes(), address).await);
    let mut slow = Vec::new();
    for _ in 0..100 {
        slow.push(sent(b"GET /healthz HTTP/1.1\r\nHost:", address).await);
    }

    let mut connection = server.connect().await;
    let (proof, body) = heartbeat(&mut agent);
    assert_eq!(connection.post("/v1/heartbeat", Some(&proof), &body).await.word(), "200 authorized");
    let metrics = String::from_utf8(connection.get("/metrics").await.body).unwrap();
    let faults: Vec<&str> = metrics.lines().filter(|line| line.contains(r#"status="5"#)).collect();
    assert_eq!(faults, [""; 0]);
}

#[tokio::test]
async fn who_sends_far_too_much_is_told_so_and_may_go_on() {
    let site = Site::new().await;
    let server = site.serve().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = vec![b' '; 6 << 20];
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    stream.write_all(head("POST /v1/activate", &headers).as_bytes()).await.unwrap();
    timeout(PATIENCE, stream.write_all(&body)).await.expect("it is read").expect("nobody hangs up");
    stream.write_all(head("GET /healthz", "Connection: close\r\n").as_bytes()).await.unwrap();
    let mut answers = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answers)).await.expect("answers").unwrap();
    let statuses: Vec<_> = answers.lines().filter(|line| line.contains("HTTP/1.1 ")).collect();
    assert!(answers.starts_with("HTTP/1.1 413 "), "{answers}");
    assert!(statuses.len() == 2 && statuses[1].ends_with("HTTP/1.1 200 OK"), "{answers}");
}

#[tokio::test]
async fn who_never_ends_his_header_is_hung_up_on() {
    let site = Site::new().await;
    let server = site.serve().await;
    let mut stream = sent(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ", server.address).await;
    let mut answer = Vec::new();
    let patience = Duration::from_mins(1);
    timeout(patience, stream.read_to_end(&mut answer)).await.expect("the server's patience ends").ok();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}

fn head(request: &str, headers: &str) -> String {
    format!("{request} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
}

/// A body without a length that grows too large.
fn chunked() -> String {
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    head("POST /v1/activate", headers) + &chunk.repeat(8) + "0\r\n\r\n"
}

async fn sent(bytes: &[u8], address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has heard enough may hang up before the end.
    let _ = timeout(PATIENCE, stream.write_all(bytes)).await.expect("the server reads or hangs up");
    stream
}

/// The status of the first answer.
async fn status(bytes: &[u8], address: SocketAddr) -> u16 {
    let mut stream = sent(bytes, address).await;
    let mut line = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut line)).await.expect("an answer").unwrap();
    let line = std::str::from_utf8(&line).unwrap();
    line.strip_prefix("HTTP/1.1 ").and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// What isn't HTTP is refused, or the connection ends without a word.
async fn refused_or_cut(bytes: &[u8], address: SocketAddr) {
    let mut stream = sent(bytes, address).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    // A connection that is reset has ended, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
}
