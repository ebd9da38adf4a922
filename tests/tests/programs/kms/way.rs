//! The way from programs to KMS: it can be cut, and what goes over it is taken down.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::emulator::emulator;

/// A proxy before KMS.
pub(super) struct Way {
    url: String,
    calls: Arc<Mutex<Vec<String>>>,
    is_open: Arc<AtomicBool>,
}

impl Way {
    pub(super) fn to_kms() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let way = Self { url, calls: Arc::default(), is_open: Arc::new(AtomicBool::new(true)) };
        let (calls, is_open) = (way.calls.clone(), way.is_open.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (calls, is_open) = (calls.clone(), is_open.clone());
                // How a connection ends is its client's affair.
                thread::spawn(move || drop(pass_on(&client, &calls, &is_open)));
            }
        });
        way
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The calls since this was asked last, by their names.
    pub(super) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// From now on nobody answers; or somebody does again.
    pub(super) fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::SeqCst);
    }
}

/// Passes on what comes over one connection, until it ends or the way is cut.
fn pass_on(client: &TcpStream, calls: &Mutex<Vec<String>>, is_open: &AtomicBool) -> std::io::Result<()> {
    let mut input = BufReader::new(client);
    loop {
        let (head, body) = message(&mut input)?;
        if head.is_empty() || !is_open.load(Ordering::SeqCst) {
            return Ok(());
        }
        let action = header(&head, "x-amz-target").and_then(|target| target.strip_prefix("TrentService."));
        calls.lock().unwrap().push(action.unwrap_or("something else").to_owned());
        let server = TcpStream::connect(emulator().address())?;
        (&server).write_all(&[head.as_bytes(), &body].concat())?;
        let (head, body) = message(&mut BufReader::new(&server))?;
        (&mut &*client).write_all(&[head.as_bytes(), &body].concat())?;
    }
}

/// The head of a request or an answer as it came, and its body.
fn message(input: &mut impl BufRead) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    while input.read_line(&mut head)? > 0 && !head.ends_with("\r\n\r\n") {}
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok((head, body))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
