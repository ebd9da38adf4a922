//! A KMS that says what a test wants, and remembers what it was asked.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_credential_types::Credentials;
use keyring::{Error, KmsProvider};
use serde_json::{Value, json};

/// The region of the tests' clients.
pub(crate) const REGION: &str = "eu-central-1";

/// What goes with a role's credentials, in every request.
pub(crate) const SESSION_TOKEN: &str = "FwoGZXIvYXdzEXAMPLE";

/// The key of the tests.
pub(crate) const KEY: &str = "alias/qubictether";

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `Encrypt`, `Decrypt`.
    pub(crate) action: String,
    /// Who signed it, when, and for which region.
    pub(crate) authorization: String,
    /// What was asked.
    pub(crate) body: Value,
}

/// Answers the requests of one KMS, in their order; the last answer is given again and again.
pub(crate) struct FakeKms {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A status and a body.
pub(crate) type Answer = (u16, Value);

/// What KMS says when it refuses.
pub(crate) fn refusal(code: &str, message: &str) -> Answer {
    let status = if code.starts_with("KMSInternal") { 500 } else { 400 };
    (status, json!({ "__type": code, "message": message }))
}

impl FakeKms {
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<_> = answers.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let heard = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (heard, answers) = (heard.clone(), answers.clone());
                thread::spawn(move || converse(&stream.unwrap(), &heard, &answers));
            }
        });
        Self { url, asked }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it was asked until now.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// A provider that asks it.
    pub(crate) async fn provider(&self) -> KmsProvider {
        self.provider_of(KEY).await.unwrap()
    }

    pub(crate) async fn provider_of(&self, key: &str) -> Result<KmsProvider, Error> {
        KmsProvider::over(sdk(&self.url), key.parse()?).await
    }
}

/// An SDK that asks whoever is at `url`, and nothing of this machine.
pub(crate) fn sdk(url: &str) -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .endpoint_url(url)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::from_keys(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI",
            Some(SESSION_TOKEN.to_owned()),
        ))
}

/// Answers what comes over one connection, until it ends.
fn converse(stream: &TcpStream, heard: &Mutex<Vec<Asked>>, answers: &[Answer]) {
    let mut input = BufReader::new(stream);
    while let Some(asked) = read(&mut input) {
        let number = {
            let mut heard = heard.lock().unwrap();
            heard.push(asked);
            heard.len() - 1
        };
        let Some((status, body)) = answers.get(number).or(answers.last()) else { return };
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\n\r\n", body.len());
        if (&*stream).write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

fn read(input: &mut BufReader<&TcpStream>) -> Option<Asked> {
    let mut lines = input.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    lines.next()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let header =
        |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap();
    let mut body = vec![0; header("content-length").parse().unwrap()];
    input.read_exact(&mut body).ok()?;
    Some(Asked {
        action: header("x-amz-target").strip_prefix("TrentService.").unwrap().to_owned(),
        authorization: header("authorization"),
        body: serde_json::from_slice(&body).unwrap(),
    })
}
