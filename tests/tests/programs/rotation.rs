//! Keys are rotated while processes beat and are killed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edge::testing::TestAgent;
use jose_jwt::PublicKey;
use protocol::ambient::{Clock, Random, SeededRandom, SystemClock};
use protocol::claims::{Use, VerifiedDecision};
use protocol::keyset::Keyset;
use protocol::token::{Expect, TokenError, verify_decision};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::site::{ISSUER, PRODUCT, Server, Site, fixed_address};
use crate::{activate, heartbeat, until};

const PATIENCE: Duration = Duration::from_mins(2);

/// An agent that beats at two servers, of which one may be dead, and verifies as agents do.
struct Verifier {
    agent: TestAgent,
    root: PublicKey,
    keyset: Option<Keyset>,
    servers: [SocketAddr; 2],
    turn: usize,
}

impl Verifier {
    /// The next server's turn. Nothing: it isn't there now.
    async fn connect(&mut self) -> Option<Connection> {
        self.turn += 1;
        Connection::try_open(self.servers[self.turn % 2]).await.ok()
    }

    /// Beats. Nothing: a server was killed under it, or has judged it too often.
    async fn beat(&mut self) -> Option<(String, VerifiedDecision)> {
        let mut connection = self.connect().await?;
        let (proof, body) = heartbeat(&mut self.agent);
        let answer = connection.try_post("/v1/heartbeat", Some(&proof), &body).await.ok()?;
        if answer.status != 200 {
            // A proof whose answer was lost is not sent again here.
            assert!(["429 slow_down", "503 unavailable"].contains(&&*answer.word()), "{}", answer.word());
            return None;
        }
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        let kid = jose_jwt::jws::Compact::parse(&token).unwrap().kid().to_owned();
        let claims = match self.verify(&token) {
            Err(TokenError::UnknownKey | TokenError::KeysetExpired) => {
                self.fetch().await;
                self.verify(&token)
            }
            verified => verified,
        };
        let claims = claims.unwrap_or_else(|refusal| panic!("a token signed by {kid} is refused: {refusal}"));
        if self.keyset.as_ref().is_some_and(|keyset| claims.ksv > keyset.version()) {
            self.fetch().await;
        }
        Some((kid, claims))
    }

    fn verify(&self, token: &str) -> Result<VerifiedDecision, TokenError> {
        let now = SystemClock.unix_seconds();
        let aud = PRODUCT.parse().unwrap();
        let sub = self.agent.install;
        let expect = Expect { iss: ISSUER, aud: &aud, sub, now: Some(now), request: None, newest: None };
        verify_decision(token, self.keyset.as_ref().ok_or(TokenError::UnknownKey)?, &expect)
    }

    /// The keyset, from whichever server is there.
    async fn fetch(&mut self) {
        let fetching = timeout(PATIENCE, async {
            loop {
                if let Some(mut connection) = self.connect().await
                    && let Ok(answer) = connection.try_get("/v1/keyset").await
                    && answer.status == 200
                {
                    return answer.body;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let keyset = opened(fetching.await.expect("a server is there"), &self.root);
        if self.keyset.as_ref().is_none_or(|newest| keyset.version() >= newest.version()) {
            self.keyset = Some(keyset);
        }
    }
}

/// What is published, seen at one server as often as it answers: (keysets seen, how often it wasn't there).
async fn watch(address: SocketAddr, root: PublicKey, stopped: watch::Receiver<bool>) -> (usize, usize) {
    let (mut seen, mut absent, mut newest) = (0, 0, 0);
    while !*stopped.borrow() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let asked = async { Connection::try_open(address).await.ok()?.try_get("/v1/keyset").await.ok() };
        let Some(answer) = asked.await else {
            absent += 1;
            continue;
        };
        assert_eq!(answer.status, 200, "{}", answer.word());
        let keyset = opened(answer.body, &root);
        assert!(keyset.version() >= newest, "{} came after {newest}", keyset.version());
        newest = keyset.version();
        seen += 1;
    }
    (seen, absent)
}

/// A keyset that is published. Of each use there always is a key that signs, and the one after it.
fn opened(body: Vec<u8>, root: &PublicKey) -> Keyset {
    let keyset = Keyset::verify(&String::from_utf8(body).unwrap(), root, ISSUER).unwrap();
    for of in [Use::Token, Use::Lease] {
        let count = keyset.claims().keys.iter().filter(|key| key.use_for == of).count();
        assert!(count >= 2, "only {count} {} keys are published", of.as_str());
    }
    keyset
}

/// The number that a variable of the environment holds.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Keys whose tokens have all expired retire, as they would in two weeks: no profile here gives a token more than
/// [`TTL`] seconds.
const RETIRE: &str = "UPDATE signing_keys SET verify_until = sign_until + interval '12 seconds'
    WHERE verify_until > sign_until + interval '12 seconds'";

const TTL: u32 = 10;

#[tokio::test]
async fn rotations_every_second_over_processes_that_are_killed_lose_no_agent_a_token() {
    const AGENTS: u64 = 48;
    let (wanted, seed) = (number("QT_ROTATIONS", 12), number("QT_SEED", 8));
    let random = SeededRandom::new(seed);
    let below = |bound: u64| {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound
    };
    let site = Site::new().await;
    let knobs = format!(r#"{{"cadence": {{"authorized": {{"interval": 5, "token_ttl": {TTL}}}}}}}"#);
    let key = site.license(&knobs, 100).await;
    let serve = async |address: SocketAddr| -> Server {
        let mut operator = site.operator();
        operator.env("QT_KEY_LEAD_SECONDS", "1").env("QT_KEY_ROTATE_SECONDS", "1").env("QT_LOG", "warn");
        site.start(operator.env("QT_LISTEN", address.to_string())).await
    };
    let addresses = [fixed_address(), fixed_address()];
    let mut servers = vec![serve(addresses[0]).await, serve(addresses[1]).await];
    let root: PublicKey = site.root_key.parse().unwrap();
    let (stop, stopped) = watch::channel(false);
    let beats = Arc::new(AtomicUsize::new(0));
    let mut beating = JoinSet::new();
    for agent in 0..AGENTS {
        let turn = usize::try_from(agent).unwrap();
        let agent = activate(&mut servers[0].connect().await, &key, agent).await;
        let mut verifier = Verifier { agent, root: root.clone(), keyset: None, servers: addresses, turn };
        let (stopped, beats) = (stopped.clone(), beats.clone());
        // Each as often as it may, and at any moment some of them.
        let begin = tokio::time::Instant::now() + Duration::from_millis(below(5000));
        let mut cadence = tokio::time::interval_at(begin, Duration::from_millis(5000 + below(500)));
        beating.spawn(async move {
            let mut signed = BTreeSet::new();
            while !*stopped.borrow() {
                cadence.tick().await;
                if let Some((kid, claims)) = verifier.beat().await {
                    beats.fetch_add(1, Ordering::Relaxed);
                    signed.insert((kid, claims.iat));
                }
            }
            signed
        });
    }
    let watching: JoinSet<_> =
        addresses.into_iter().map(|address| watch(address, root.clone(), stopped.clone())).collect();
    let rotations = async || -> u64 {
        site.database.value("SELECT max(version) - 1 FROM keysets").await.parse().unwrap()
    };
    let (mut kills, mut rotated) = (0, 0);
    while rotated < wanted {
        let pause = tokio::time::Instant::now() + Duration::from_millis(below(5000));
        // Whatever the pause is: after a kill keys are moved on.
        let moved = async || Some(rotations().await).filter(|now| *now > rotated);
        rotated = until("a rotation", PATIENCE, moved).await;
        tokio::time::sleep_until(pause).await;
        let turn = usize::try_from(below(2)).unwrap();
        servers.remove(turn).kill().await;
        servers.insert(turn, serve(addresses[turn]).await);
        kills += 1;
        site.database.lines(RETIRE).await;
    }
    stop.send(true).unwrap();
    let signed: BTreeSet<(String, i64)> = beating.join_all().await.into_iter().flatten().collect();
    let watched = watching.join_all().await;
    let signers = signed.iter().map(|(kid, _)| kid).collect::<BTreeSet<_>>().len();
    let now = SystemClock.unix_seconds();
    let retired = format!("SELECT count(*) FROM signing_keys WHERE verify_until <= to_timestamp({now})");
    let retired = site.database.value(&retired).await;
    let beats = beats.load(Ordering::Relaxed);
    eprintln!(
        "seed {seed}: {rotated} rotations, {kills} kills, {beats} beats verified, signed by {signers} keys, {retired} \
         keys retired; keysets seen at each server, and how often it wasn't there: {watched:?}"
    );
    assert!(signers > kills && beats > 50);
    let values: Vec<_> = signed.iter().map(|(kid, iat)| format!("('{kid}', {iat})")).collect();
    let late = format!(
        "SELECT s.kid FROM (VALUES {}) AS s (kid, iat) JOIN signing_keys k ON k.kid = s.kid
         WHERE to_timestamp(s.iat) < k.sign_from OR to_timestamp(s.iat) >= k.sign_until",
        values.join(", ")
    );
    assert_eq!(site.database.lines(&late).await, [""; 0], "signed by a key whose time it wasn't");
    let early = "SELECT kid FROM signing_keys WHERE sign_from < publish_at + interval '1 second'
        AND publish_at > (SELECT min(publish_at) FROM signing_keys)";
    assert_eq!(site.database.lines(early).await, [""; 0], "signed before it was published for a second");
}
