//! Keys are rotated while processes beat and are killed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edge::testing::TestAgent;
use jose_jwt::PublicKey;
use protocol::ambient::{Clock, SystemClock};
use protocol::claims::{DecisionClaims, Use};
use protocol::keyset::Keyset;
use protocol::token::{Expect, TokenError, verify_decision};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::site::{ISSUER, PRODUCT, Server, Site, fixed_address};
use crate::{activate, heartbeat, rounds, until};

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
    async fn beat(&mut self) -> Option<(String, DecisionClaims)> {
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

    fn verify(&self, token: &str) -> Result<DecisionClaims, TokenError> {
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
        let text = String::from_utf8(fetching.await.expect("a server is there")).unwrap();
        let keyset = Keyset::verify(&text, &self.root, ISSUER).unwrap();
        for of in [Use::Token, Use::Lease] {
            let count = keyset.claims().keys.iter().filter(|key| key.use_for == of).count();
            assert!(count >= 2, "only {count} {} keys are published", of.as_str());
        }
        if self.keyset.as_ref().is_none_or(|newest| keyset.version() >= newest.version()) {
            self.keyset = Some(keyset);
        }
    }
}

#[tokio::test]
async fn rotations_every_second_over_processes_that_are_killed_lose_no_agent_a_token() {
    const AGENTS: u64 = 24;
    let kills = rounds(6);
    let site = Site::new().await;
    let key = site.license("{}", 100).await;
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
    for number in 0..AGENTS {
        let agent = activate(&mut servers[0].connect().await, &key, number).await;
        let turn = usize::try_from(number).unwrap();
        let mut verifier = Verifier { agent, root: root.clone(), keyset: None, servers: addresses, turn };
        let (stopped, beats) = (stopped.clone(), beats.clone());
        let mut cadence = tokio::time::interval(Duration::from_millis(400));
        beating.spawn(async move {
            let mut signed = Vec::new();
            while !*stopped.borrow() {
                cadence.tick().await;
                if let Some((kid, claims)) = verifier.beat().await {
                    beats.fetch_add(1, Ordering::Relaxed);
                    signed.push((kid, claims.iat));
                }
            }
            signed
        });
    }
    let rotations = async || {
        let versions = site.database.value("SELECT max(version) FROM keysets").await;
        versions.parse::<usize>().unwrap() - 1
    };
    for kill in 0..kills {
        let (rotated, beaten) = (rotations().await + 2, beats.load(Ordering::Relaxed) + kill % 5);
        // At another moment after a rotation each time.
        let enough =
            async || (rotations().await >= rotated && beats.load(Ordering::Relaxed) >= beaten).then_some(());
        until("two rotations", PATIENCE, enough).await;
        let killed = servers.remove(0);
        let address = killed.address;
        killed.kill().await;
        servers.push(serve(address).await);
    }
    stop.send(true).unwrap();
    let signed: Vec<(String, i64)> = beating.join_all().await.into_iter().flatten().collect();
    let signers: std::collections::HashSet<_> = signed.iter().map(|(kid, _)| kid).collect();
    assert!(signers.len() > kills && signed.len() > 50, "{} tokens by {} keys", signed.len(), signers.len());
    let values: Vec<_> = signed.iter().map(|(kid, iat)| format!("('{kid}', {iat})")).collect();
    let late = format!(
        "SELECT s.kid FROM (VALUES {}) AS s (kid, iat) JOIN signing_keys k ON k.kid = s.kid
         WHERE to_timestamp(s.iat) < k.sign_from OR to_timestamp(s.iat) >= k.sign_until",
        values.join(", ")
    );
    assert_eq!(site.database.lines(&late).await, [""; 0], "signed by a key whose time it wasn't");
}
