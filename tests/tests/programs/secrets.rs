//! Secrets are nowhere but where they belong: not in a dump of the database, not in a log, not among the metrics.

use std::fmt::Write as _;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edge::testing::{Answer, TestAgent, TestMachine};
use jose_jwt::base64url;
use protocol::LicenseKey;
use protocol::ambient::{Clock, SystemClock};
use protocol::proof::Operation;
use tokio::process::Command;
use tokio::time::timeout;

use crate::agent::{Agent, Said};
use crate::connection::Connection;
use crate::site::{PATIENCE, Server, Site};
use crate::{activation, heartbeat};

/// What nobody but a caller who is refused has said.
const MARKER: &str = "PLANTEDMARKER7Q4Z";

/// What must not be found: a name to say if it is, and a spelling. Dumps, logs and metrics are text, so spellings are.
#[derive(Default)]
struct Needles(Vec<(String, String)>);

impl Needles {
    /// Text in every spelling that a column or a log could give it.
    fn text(&mut self, name: &str, text: &str) {
        self.0.push((name.to_owned(), text.to_owned()));
        self.0.push((format!("{name}, lower case"), text.to_lowercase()));
        self.bytes(name, text.as_bytes());
    }

    /// Bytes in every spelling that a column or a log could give them.
    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        let hex = hex(bytes);
        self.0.push((format!("{name}, upper-case hex"), hex.to_uppercase()));
        self.0.push((format!("{name}, hex"), hex));
        self.0.push((format!("{name}, base64url"), base64url::encode(bytes)));
        self.0.push((format!("{name}, as a debugger prints bytes"), format!("{bytes:?}")));
    }

    fn license_key(&mut self, key: &LicenseKey) {
        self.text("printed license key", &key.printed());
        self.text("canonical license key", key.canonical());
    }

    fn proof(&mut self, header: &str) {
        let (_, proof) = header.split_once("proof=").unwrap();
        self.bytes("proof", &base64url::decode(proof).unwrap());
    }

    fn token(&mut self, answer: &Answer) {
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        let (_, signature) = token.rsplit_once('.').unwrap();
        self.bytes("token's signature", &base64url::decode(signature).unwrap());
        self.0.push(("token".to_owned(), token));
    }

    /// The names of those that `haystack` holds.
    fn found_in(&self, haystack: &str) -> Vec<&str> {
        self.0.iter().filter(|(_, needle)| haystack.contains(needle)).map(|(name, _)| name.as_str()).collect()
    }
}

#[tokio::test]
async fn no_secret_is_in_a_dump_a_log_or_a_metric() {
    let mut site = Site::new().await;
    site.besides.push(("QT_WEBHOOK_PRIVATE_TARGETS", "allow".to_owned()));
    let server = site.serve().await;
    let key = site.license("{}", 10).await;
    let mut needles = Needles::default();
    needles.license_key(&key);
    needles.bytes("key-encryption key", &fs::read(site.kek_file()).unwrap());
    let url = "https://127.0.0.1:9/hook";
    let webhook = site.operate(&["webhook", "create", "--url", url]).await;
    let secret =
        STANDARD.decode(webhook["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap()).unwrap();
    needles.bytes("webhook's secret", &secret);
    needles.0.push(("webhook's secret, base64".to_owned(), STANDARD.encode(&secret)));

    let mut connection = server.connect().await;
    let plain = simulated(&mut connection, &key, &mut needles).await;
    refused(&mut connection, plain, &mut needles).await;
    let (real, said) = real(&site, &server, &key, &mut needles).await;

    let metrics = String::from_utf8(connection.get("/metrics").await.body).unwrap();
    let (dump, logs) = (dump(&site.database.url).await, site.logs());
    let places = [("dump", &dump), ("server's log", &logs), ("metrics", &metrics), ("agent's words", &said)];
    for (place, text) in places {
        assert_eq!(needles.found_in(text), [""; 0], "in the {place}");
    }
    // The search does find what is there.
    assert!(dump.contains(&real) && said.contains(&real), "the install's id");
    assert!(metrics.contains("invalid_proof"), "{metrics}");
    assert!(logs.contains("refused"), "{logs}");
}

#[tokio::test]
async fn no_secret_is_in_the_log_of_a_lambda_function() {
    let site = Site::new().await;
    let functions = site.functions().await;
    let key = site.license("{}", 10).await;
    let mut needles = Needles::default();
    needles.license_key(&key);
    let mut connection = functions.connect().await;
    let plain = simulated(&mut connection, &key, &mut needles).await;
    refused(&mut connection, plain, &mut needles).await;
    // What isn't a request of a function URL's is an error, which says what it isn't and not what it is.
    let event = format!(r#"{{"rawPath": 1, "body": "{MARKER}"}}"#);
    let failure = functions.auth.invoke(event).await.unwrap_err();
    let logs = site.logs();
    assert_eq!(needles.found_in(&format!("{logs}{failure:?}")), [""; 0]);
    // The search does find what is there: that it is as talkative as it can be.
    assert!(logs.contains("refused") && logs.contains("TRACE") && logs.contains("Lambda runtime invoke"));
}

/// An agent that the test plays itself, so that every proof and every token is known.
async fn simulated(connection: &mut Connection, key: &LicenseKey, needles: &mut Needles) -> TestAgent {
    let machine = TestMachine::new(1);
    let activated = connection.post("/v1/activate", None, &activation(&machine, key)).await;
    needles.token(&activated);
    let mut agent = TestAgent::of(machine, &activated);
    needles.bytes("install secret", agent.secret.as_bytes());
    for _ in 0..2 {
        let (proof, body) = heartbeat(&mut agent);
        let answer = connection.post("/v1/heartbeat", Some(&proof), &body).await;
        assert_eq!(answer.word(), "200 authorized");
        needles.proof(&proof);
        needles.token(&answer);
    }
    let proof = agent.prove(&Operation::Rekey, SystemClock.unix_seconds(), b"{}");
    let answer = connection.post("/v1/rekey", Some(&proof), "{}").await;
    assert_eq!(answer.status, 200, "{}", answer.word());
    needles.proof(&proof);
    agent.secret = answer.json()["secret"].as_str().unwrap().parse().unwrap();
    needles.bytes("install secret after a rekey", agent.secret.as_bytes());
    agent
}

/// Requests that are refused, each with something that mustn't be repeated anywhere.
async fn refused(connection: &mut Connection, mut agent: TestAgent, needles: &mut Needles) {
    needles.text("marker", MARKER);
    let machine = TestMachine::new(2);
    let wrong = LicenseKey::generate([0x5a; 18]);
    needles.license_key(&wrong);
    let answer = connection.post("/v1/activate", None, &activation(&machine, &wrong)).await;
    assert_eq!(answer.word(), "403 license_refused");
    let body = activation(&machine, &wrong).replace(&**wrong.printed(), &format!("QT1-{MARKER}"));
    assert_eq!(connection.post("/v1/activate", None, &body).await.word(), "403 license_refused");
    let body = format!(r#"{{"license_key": "{MARKER}", "license_key": "{MARKER}"}}"#);
    assert_eq!(connection.post("/v1/activate", None, &body).await.word(), "400 malformed");

    let (proof, body) = heartbeat(&mut agent);
    needles.proof(&proof);
    let spoilt = body.replace(r#""unix""#, &format!(r#""{MARKER}""#));
    assert_eq!(connection.post("/v1/heartbeat", Some(&proof), &spoilt).await.word(), "401 invalid_proof");
    let bearer = format!("Bearer {MARKER}");
    assert_eq!(connection.post("/v1/heartbeat", Some(&bearer), &body).await.word(), "401 invalid_proof");
    let odd = format!("{proof}, marker={MARKER}");
    assert_eq!(connection.post("/v1/heartbeat", Some(&odd), &body).await.word(), "401 invalid_proof");
    for _ in 0..2 {
        let answer = connection.post("/v1/heartbeat", Some(&proof), &body).await;
        assert!(["200 authorized", "409 nonce_replayed"].contains(&&*answer.word()), "{}", answer.word());
    }
}

/// The agent's program: its install, and everything that it said.
async fn real(site: &Site, server: &Server, key: &LicenseKey, needles: &mut Needles) -> (String, String) {
    let agent = Agent::activate(site, server, key, &Agent::fingerprint_file(site)).await;
    needles.bytes("install secret of the agent's program", agent.secret().as_bytes());
    let mut said = String::new();
    for what in ["beat", "rekey", "beat"] {
        let Said { code, output, error } = agent.does(what).await;
        assert_eq!(code, Some(0), "{what}: {error}");
        said += &(output + &error);
    }
    needles.bytes("install secret of the agent's program after a rekey", agent.secret().as_bytes());
    let status = agent.status().await;
    (status.status()["install_id"].as_str().unwrap().to_owned(), said + &status.output)
}

/// What whoever steals a backup has.
async fn dump(url: &str) -> String {
    let dumping = Command::new(cluster::programs().unwrap().join("pg_dump")).arg(url).output();
    let output = timeout(PATIENCE, dumping).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}
