//! Somebody whom webhooks tell.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A server on loopback that takes down what it is told. It ends with the test's runtime.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<watch::Sender<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<Option<u16>>>>,
    puts_off: Arc<Mutex<Option<String>>>,
}

/// A message, as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Where to.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, letter by letter.
    pub body: String,
}

impl Received {
    /// A header's text.
    ///
    /// # Panics
    /// When it isn't there.
    pub fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", self.headers));
        value.to_str().expect("a text").to_owned()
    }

    /// The body.
    ///
    /// # Panics
    /// When it isn't JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The event's name.
    pub fn event(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }
}

impl Receiver {
    /// Listens on any free port.
    ///
    /// # Panics
    /// When there is none.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let received = Arc::new(watch::Sender::new(Vec::new()));
        let receiver = Self { address, received, answers: Arc::default(), puts_off: Arc::default() };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has the next messages answered with these, `None` with nothing ever; further ones with 204.
    pub fn answer_with(&self, answers: impl IntoIterator<Item = Option<u16>>) {
        self.answers().extend(answers);
    }

    /// Has further messages answered with this `Retry-After`, too.
    pub fn put_off(&self, retry_after: &str) {
        *self.puts_off.lock().unwrap_or_else(PoisonError::into_inner) = Some(retry_after.to_owned());
    }

    /// Everything that came.
    pub fn received(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// The events that came, by name.
    pub fn events(&self) -> Vec<String> {
        self.received().iter().map(Received::event).collect()
    }

    /// Waits until so many messages have come.
    ///
    /// # Panics
    /// Never: what sends lives as long as this.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut received = self.received.subscribe();
        received.wait_for(|received| received.len() >= count).await.expect("the sender lives").clone()
    }

    fn answers(&self) -> MutexGuard<'_, VecDeque<Option<u16>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(State(receiver): State<Receiver>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return StatusCode::BAD_REQUEST.into_response() };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let message = Received { path: head.uri.path().to_owned(), headers: head.headers, body };
    receiver.received.send_modify(|received| received.push(message));
    let answer = receiver.answers().pop_front().unwrap_or(Some(204));
    let Some(status) = answer else { return std::future::pending().await };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let location = [(LOCATION, format!("http://{}/elsewhere", receiver.address))];
    let put_off = receiver.puts_off.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let put_off = AppendHeaders(put_off.map(|after| (RETRY_AFTER, after)));
    (status, location, put_off).into_response()
}
