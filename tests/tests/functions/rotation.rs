//! Keys are rotated and tainted under beating agents: what an agent is told it can verify, always.

use std::collections::HashSet;
use std::fmt::Write as _;

use edge::testing::{Answer, TestAgent, TestEdge};
use jose_jwt::PublicKey;
use keyring::signing::{KeyRecord, KeyUse, Stage};
use protocol::ambient::{Random, SeededRandom, array};
use protocol::claims::{Use, VerifiedDecision};
use protocol::keyset::Keyset;
use protocol::token::{Expect, TokenError, verify_decision};
use store::testing::{ISSUER, START, TestDatabase};

use crate::{World, server_with};

const DAY: i64 = 86_400;

/// A number below `bound`.
fn below(random: &dyn Random, bound: u64) -> u64 {
    u64::from_le_bytes(array(random)) % bound
}

/// Verifies as an agent does: fetches the keyset when it has none that verifies, when a key is unknown (once), and when
/// a verified token says that there is a newer one.
struct Verifier {
    root: PublicKey,
    keyset: Option<Keyset>,
}

impl Verifier {
    async fn new(database: &TestDatabase) -> Self {
        Self { root: database.database().find_root().await.unwrap().unwrap(), keyset: None }
    }

    async fn fetch(&mut self, server: &TestEdge) {
        let keyset = keyset_of(server, &self.root).await;
        // One below the newest seen is refused.
        if self.keyset.as_ref().is_none_or(|newest| keyset.version() >= newest.version()) {
            self.keyset = Some(keyset);
        }
    }

    fn verify(&self, agent: &TestAgent, token: &str, now: i64) -> Result<VerifiedDecision, TokenError> {
        let aud = "acme-render".parse().unwrap();
        let expect = Expect {
            iss: ISSUER,
            aud: &aud,
            sub: agent.install,
            now: Some(now),
            request: None,
            newest: None,
        };
        verify_decision(token, self.keyset.as_ref().ok_or(TokenError::UnknownKey)?, &expect)
    }

    /// What `answer` says, if it is to be believed; `server` is whoever answers for the keyset.
    async fn believe(
        &mut self,
        agent: &TestAgent,
        answer: &Answer,
        server: &TestEdge,
    ) -> Result<VerifiedDecision, TokenError> {
        let (body, now) = (answer.json(), server.edge.now());
        let token = body["token"].as_str().unwrap_or_else(|| panic!("{}", answer.word()));
        let claims = match self.verify(agent, token, now) {
            Err(TokenError::UnknownKey | TokenError::KeysetExpired) => {
                self.fetch(server).await;
                self.verify(agent, token, now)?
            }
            other => other?,
        };
        if self.keyset.as_ref().is_some_and(|keyset| claims.ksv > keyset.version()) {
            self.fetch(server).await;
        }
        Ok(claims)
    }
}

async fn keyset_of(server: &TestEdge, root: &PublicKey) -> Keyset {
    let answer = server.get("/v1/keyset").await;
    assert_eq!(answer.status, 200, "{}", answer.word());
    Keyset::verify(&String::from_utf8(answer.body).unwrap(), root, ISSUER).unwrap()
}

fn kid_of(answer: &Answer) -> String {
    let body = answer.json();
    let token = body["token"].as_str().unwrap_or_else(|| panic!("{}", answer.word())).to_owned();
    jose_jwt::jws::Compact::parse(&token).unwrap().kid().to_owned()
}

/// Starts rotating, and is killed after so many steps of its task: its connection ends, and with it its transaction.
async fn rotate_and_die(world: &World, seed: u64, steps: u64) {
    let dying = world.database.store(seed).await;
    let settings = &world.server.edge.settings;
    let mut rotating = Box::pin(dying.rotate_signing_keys(&KeyUse::ALL, settings.key_terms()));
    for _ in 0..steps {
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(rotating.as_mut().poll(context)));
        if polled.await.is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_thousand_rotations_over_two_processes_lose_no_agent_a_token() {
    const ROTATIONS: u64 = 1000;
    let mut world = World::new().await;
    let random = SeededRandom::new(8);
    // A key signs for two days.
    let set = [("QT_KEY_LEAD_SECONDS", "3600"), ("QT_KEY_ROTATE_SECONDS", "172800")];
    let mut servers =
        [server_with(&world.database, 2, &set).await, server_with(&world.database, 3, &set).await];
    world.server = servers[0].clone();
    let mut verifier = Verifier::new(&world.database).await;
    let mut agents = [world.agent(1).await, world.agent(2).await, world.agent(3).await];
    let (mut signers, mut signed) = (HashSet::new(), String::new());
    let first = keyset_of(&servers[0], &verifier.root).await.version();
    while signers.len() <= usize::try_from(ROTATIONS).unwrap() {
        // On to the next rotation, or about in the one that just was.
        let pass = match below(&random, 6) {
            0 | 1 => 2 * DAY,
            2 => 3600,
            3 => 1 + i64::try_from(below(&random, 90)).unwrap(),
            _ => 5 + i64::try_from(below(&random, 20)).unwrap(),
        };
        world.pass(pass);
        if pass == 2 * DAY {
            world.database.database().make_partitions(world.server.edge.now()).await.unwrap();
            if below(&random, 10) == 0 {
                rotate_and_die(&world, 100 + signers.len() as u64, below(&random, 24)).await;
            }
        }
        if below(&random, 50) == 0 {
            // One is killed, and another starts in its place.
            let seed = 10_000 + signers.len() as u64;
            servers[usize::from(below(&random, 2) == 1)] = server_with(&world.database, seed, &set).await;
        }
        let (asked, other) = (below(&random, 2) == 1, below(&random, 2) == 1);
        let (asked, other) = (&servers[usize::from(asked)], &servers[usize::from(other)]);
        let agent = &mut agents[usize::try_from(below(&random, 3)).unwrap()];
        let answer = agent.beat(asked).await;
        let claims = verifier.believe(agent, &answer, other).await;
        let claims = claims.unwrap_or_else(|refusal| panic!("{}: {refusal}", kid_of(&answer)));
        let comma = if signed.is_empty() { "" } else { ", " };
        write!(signed, "{comma}('{}', {})", kid_of(&answer), claims.iat).unwrap();
        signers.insert(kid_of(&answer));
        if pass < DAY {
            continue;
        }
        for server in &servers {
            let keyset = keyset_of(server, &verifier.root).await;
            assert!(keyset.key(&kid_of(&answer), Use::Token).is_some(), "a key that signs isn't published");
            for of in [Use::Token, Use::Lease] {
                let count = keyset.claims().keys.iter().filter(|key| key.use_for == of).count();
                assert!((2..20).contains(&count), "{count} {} keys are published", of.as_str());
            }
        }
    }
    let last = keyset_of(&servers[0], &verifier.root).await.version();
    assert!(last - first >= ROTATIONS, "{first} to {last}");
    let late = format!(
        "SELECT s.kid FROM (VALUES {signed}) AS s (kid, iat) JOIN signing_keys k ON k.kid = s.kid
         WHERE to_timestamp(s.iat) < k.sign_from OR to_timestamp(s.iat) >= k.sign_until"
    );
    assert_eq!(world.database.lines(&late).await, [""; 0], "signed by a key whose time it wasn't");
}

async fn kid(server: &TestEdge, key_use: KeyUse, stage: Stage) -> String {
    let is_wanted = |key: &&KeyRecord| key.key_use == key_use && key.stage(server.edge.now()) == stage;
    server.edge.store.list_signing_keys().await.unwrap().iter().find(is_wanted).unwrap().kid().to_owned()
}

#[tokio::test]
async fn a_tainted_key_signs_nothing_more_that_an_agent_believes() {
    let world = World::new().await;
    let servers = [&world.server, &server_with(&world.database, 2, &[]).await];
    let mut agent = world.agent(1).await;
    let mut verifier = Verifier::new(&world.database).await;
    for server in servers {
        verifier.believe(&agent, &agent.clone().beat(server).await, server).await.unwrap();
        agent.beat(server).await;
    }
    let bad = kid(servers[0], KeyUse::Token, Stage::Active).await;
    let next = kid(servers[0], KeyUse::Token, Stage::Prepared).await;
    let terms = servers[0].edge.settings.key_terms();
    servers[0].edge.store.taint_signing_key(&bad, terms).await.unwrap();
    world.pass(29);
    let late = agent.beat(servers[1]).await;
    assert_eq!(kid_of(&late), bad, "a process that hasn't heard of it");
    world.pass(1);
    for server in servers {
        let answer = agent.beat(server).await;
        assert_eq!(kid_of(&answer), next);
        verifier.believe(&agent, &answer, server).await.unwrap();
    }
    assert_eq!(verifier.believe(&agent, &late, servers[1]).await.unwrap_err(), TokenError::UnknownKey);
    let jwks = servers[1].get("/.well-known/jwks.json").await.json();
    let kids: Vec<_> = jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    assert!(kids.len() == 4 && !kids.contains(&bad.into()), "{kids:?}");
}

#[tokio::test]
async fn a_process_that_can_not_read_the_keys_signs_with_them_for_a_minute_and_no_longer() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let away = "CREATE FUNCTION away() RETURNS boolean LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'away' USING ERRCODE = 'cannot_connect_now'; END $$;
                ALTER TABLE keysets RENAME TO kept;
                CREATE VIEW keysets AS SELECT * FROM kept WHERE away()";
    world.database.run(away).await;
    for (pass, word) in
        [(29, "200 authorized"), (1, "200 authorized"), (29, "200 authorized"), (1, "503 unavailable")]
    {
        world.pass(pass);
        assert_eq!(agent.beat(&world.server).await.word(), word);
    }
    assert_eq!(world.server.get("/readyz").await.word(), "503 unavailable");
    world.database.run("DROP VIEW keysets; ALTER TABLE kept RENAME TO keysets").await;
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
}

#[tokio::test]
async fn what_is_due_and_fails_is_told_and_the_old_key_signs_on() {
    let world = World::new().await;
    let mut agent = world.agent(1).await;
    let old = kid_of(&agent.beat(&world.server).await);
    world.database.run("ALTER TABLE keysets ADD CHECK (version < 2)").await;
    world.pass(90 * DAY);
    assert_eq!(kid_of(&agent.beat(&world.server).await), old);
    let ready = world.server.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["warnings"]), (200, &serde_json::json!(["keys_not_moved_on"])));

    // Likewise where the root key is kept elsewhere.
    world.database.run("UPDATE root_keys SET private_key = NULL").await;
    world.pass(30);
    assert_eq!(kid_of(&agent.beat(&world.server).await), old);
    let ready = world.server.get("/readyz").await.json();
    assert_eq!(ready["warnings"], serde_json::json!(["root_key_absent"]));
    assert_eq!(world.server.edge.store.load_keyset().await.unwrap().issued_at, START);
}
