//! The agent's own transport against servers of bytes.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use http::Method;
use qubictether_agent::{
    Error, HttpTransport,
    transport::{Answer, Request, Transport},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Duration, sleep},
};

/// A server that answers every request with what `answer` makes of the connection.
struct Bytes {
    url: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Bytes {
    async fn serve<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Option<TcpStream>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (counted, kept) = (connections.clone(), requests.clone());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                while let Some(request) = read_request(&mut stream).await {
                    kept.lock().unwrap().push(request);
                    match answer(stream).await {
                        Some(again) => stream = again,
                        None => break,
                    }
                }
            }
        });
        Self { url, connections, requests }
    }

    /// A server that sends these bytes after every request.
    async fn always(bytes: &'static [u8]) -> Self {
        Self::serve(move |mut stream| async move {
            stream.write_all(bytes).await.ok()?;
            Some(stream)
        })
        .await
    }

    fn transport(&self) -> HttpTransport {
        HttpTransport::new(self.url.parse().unwrap(), "1.4.2")
    }

    async fn ask(&self) -> Result<Answer, Error> {
        self.transport().send(request(None)).await
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).await.ok().filter(|read| *read > 0)?;
        text.push_str(str::from_utf8(&bytes[..read]).unwrap());
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

fn request(body: Option<&str>) -> Request {
    Request {
        method: Method::POST,
        path: "/v1/rekey".into(),
        authorization: Some("QT1-HMAC-SHA256 install=…".replace('…', "1")),
        body: body.map(|body| body.as_bytes().to_vec().into()),
    }
}

#[tokio::test]
async fn requests_are_as_the_protocol_wants_them_over_one_connection() {
    let server = Bytes::always(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}").await;
    let transport = server.transport();
    for body in [None, Some("{\"a\":1}")] {
        let answer = transport.send(request(body)).await.unwrap();
        assert_eq!(
            (answer.status, answer.retry_after, answer.body.as_slice()),
            (503, Some(7), b"{}".as_slice())
        );
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    let requests = server.requests.lock().unwrap();
    let lower = requests.iter().map(|request| request.to_ascii_lowercase()).collect::<Vec<_>>();
    assert!(lower.iter().all(|request| request.starts_with("post /v1/rekey http/1.1\r\n")));
    assert!(lower.iter().all(|request| request.contains("\r\nauthorization: qt1-hmac-sha256 install=1\r\n")));
    assert!(lower[0].contains("content-length: 0\r\n") && !lower[0].contains("content-type"));
    assert!(lower[1].contains("content-type: application/json\r\n") && lower[1].ends_with("{\"a\":1}"));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Bytes::always(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url.clone();
        let server = Bytes::serve(move |mut stream| {
            let head =
                format!("HTTP/1.1 {status} There\r\nLocation: {location}/\r\nContent-Length: 0\r\n\r\n");
            async move {
                stream.write_all(head.as_bytes()).await.ok()?;
                Some(stream)
            }
        })
        .await;
        assert_eq!(server.ask().await.unwrap().status, status);
    }
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn answers_that_do_not_end_are_not_read_to_the_end() {
    let declared = Bytes::always(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n").await;
    assert!(matches!(declared.ask().await, Err(Error::TooLong)));
    let chunked = Bytes::serve(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.ok()?;
        loop {
            stream.write_all(format!("1000\r\n{}\r\n", "x".repeat(4096)).as_bytes()).await.ok()?;
        }
    })
    .await;
    assert!(matches!(chunked.ask().await, Err(Error::TooLong)));
    let header = Bytes::serve(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.ok()?;
        loop {
            stream.write_all(&[b'x'; 4096]).await.ok()?;
        }
    })
    .await;
    assert!(matches!(header.ask().await, Err(Error::Unreachable(_))));
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    for bytes in [
        b"".as_slice(),
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 99999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let server = Bytes::serve(move |mut stream| async move {
            stream.write_all(bytes).await.ok()?;
            None
        })
        .await;
        assert!(matches!(server.ask().await, Err(Error::Unreachable(_))), "{bytes:?}");
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let transport = HttpTransport::new(format!("http://{gone}").parse().unwrap(), "1.4.2");
    assert!(matches!(transport.send(request(None)).await, Err(Error::Unreachable(_))));
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_half_a_minute_at_most() {
    let trickle = Bytes::serve(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await.ok()?;
        loop {
            sleep(Duration::from_secs(1)).await;
            stream.write_all(b"x").await.ok()?;
        }
    })
    .await;
    let silence = Bytes::serve(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    for server in [trickle, silence] {
        let begun = tokio::time::Instant::now();
        let answer = server.ask().await.map(|answer| answer.status);
        assert!(matches!(answer, Err(Error::TimedOut)), "{answer:?}");
        assert!(begun.elapsed() <= Duration::from_secs(31));
    }
}

#[tokio::test]
async fn plain_bytes_where_tls_is_wanted_are_no_answer() {
    let server = Bytes::always(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let transport = HttpTransport::new(server.url.replace("http:", "https:").parse().unwrap(), "1.4.2");
    assert!(matches!(transport.send(request(None)).await, Err(Error::Unreachable(_))));
}
