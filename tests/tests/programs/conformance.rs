//! The protocol's page, case by case, from outside: whatever serves it is known by base URLs alone, one for everything or one
//! for each function, by the root's public key, and by an operator's program over the same database. The clock is the
//! machine's.
//!
//! [`run`] is for any deployment. Here it runs against `serve`, against the Lambda binaries behind function URLs of
//! the project's own emulator, and behind those of `cargo lambda watch`.

mod activation;
mod caller;
mod contact;
mod keys;
mod lease;
mod operator;
mod problems;
mod session;
mod targets;
mod window;

use std::pin::Pin;
use std::sync::Arc;

use edge::testing::{Answer, TestAgent, TestMachine};
use jose_jwt::PublicKey;
use protocol::ambient::{Clock, SystemClock};
use protocol::claims::VerifiedDecision;
use protocol::keyset::Keyset;
use protocol::proof::Operation;
use protocol::token::{Expect, verify_decision};
use protocol::{LicenseKey, Nonce};
use serde_json::Value;
use tokio::task::JoinSet;

pub(crate) use caller::Base;

use crate::site::{ISSUER, PRODUCT, Site};

/// Where each function is.
#[derive(Clone)]
pub(crate) struct Bases {
    pub(crate) heartbeat: Base,
    pub(crate) lease: Base,
    pub(crate) auth: Base,
    pub(crate) admin: Base,
}

impl Bases {
    /// One base for all.
    pub(crate) fn one(base: &Base) -> Self {
        Self { heartbeat: base.clone(), lease: base.clone(), auth: base.clone(), admin: base.clone() }
    }

    /// That of a path's function.
    fn of(&self, path: &str) -> &Base {
        match path {
            path if path.starts_with("/v1/heartbeat") => &self.heartbeat,
            path if path.starts_with("/v1/leases") => &self.lease,
            path if path.starts_with("/v1/admin") => &self.admin,
            _ => &self.auth,
        }
    }

    fn all(&self) -> [&Base; 4] {
        [&self.heartbeat, &self.lease, &self.auth, &self.admin]
    }
}

/// What stands between client and function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    /// Something that passes on what it gets.
    Faithful,
    /// Something that answers by itself where a JSON body isn't UTF-8.
    TextOnly,
}

/// What is looked at: where it is, and the site that it serves.
pub(crate) struct World {
    bases: Bases,
    front: Front,
    site: Site,
}

type Case = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Cases by their names.
macro_rules! cases {
    ($world:ident: $($module:ident::{$($case:ident),+ $(,)?}),+ $(,)?) => {
        vec![$($((stringify!($case), Box::pin($module::$case($world.clone())) as Case)),+),+]
    };
}

/// Runs every case.
///
/// # Panics
/// With the names of those that don't hold, each of which has said why.
pub(crate) async fn run(bases: Bases, front: Front, site: Site) {
    let world = Arc::new(World { bases, front, site });
    let cases = cases!(world:
        activation::{
            an_activation_is_answered_with_all_that_an_agent_needs,
            the_same_machine_again_gets_a_new_secret_in_the_same_place,
            an_activation_whose_answer_was_lost_is_repeated,
            no_more_installs_than_seats,
            a_key_that_activates_nothing_is_one_refusal,
        },
        contact::{
            a_heartbeat_is_answered_by_a_token_for_that_request,
            a_rekey_lets_the_old_secret_serve_until_the_new_one_does,
            leaving_frees_the_seat_and_kills_the_secret,
            the_previous_bucket_is_taken_and_no_other,
            too_many_beats_are_slowed_down,
        },
        keys::{
            the_keyset_is_signed_by_the_root_and_lists_every_key,
            the_jwks_lists_the_same_keys_and_no_more_of_them,
            there_is_no_successor_of_a_root_that_has_none,
        },
        lease::{
            a_lease_is_for_this_install_alone_and_says_what_holds,
            another_lease_takes_the_place_of_the_first,
            a_lease_that_is_returned_is_over,
            where_no_lease_is_allowed_none_is_granted,
        },
        operator::{
            what_an_operator_does_reaches_the_next_beat,
            a_revoked_install_is_told_so_and_may_nothing_else,
            an_install_waits_for_its_approval,
        },
        problems::{
            a_proof_that_does_not_hold_is_one_answer_whatever_is_wrong,
            a_heartbeat_that_is_wrong_is_refused_for_what_is_wrong,
            an_activation_that_is_wrong_is_refused_for_what_is_wrong,
            sizes_are_bounded,
            what_is_not_there_is_said_so,
            every_function_says_that_it_is_up_and_ready,
        },
        session::{
            an_operator_signs_in_and_his_cookie_opens_what_his_role_may,
        },
        window::{
            a_proof_is_accepted_once,
            an_attempt_that_its_retry_overtook_is_stale,
            a_second_holder_of_the_secret_is_found,
        },
    );
    let mut running = JoinSet::new();
    let names: std::collections::HashMap<_, _> =
        cases.into_iter().map(|(name, case)| (running.spawn(case).id(), name)).collect();
    let mut failed = Vec::new();
    while let Some(ended) = running.join_next_with_id().await {
        if let Err(error) = ended {
            failed.push(names[&error.id()]);
        }
    }
    assert_eq!(failed, [""; 0], "of {} cases", names.len());
}

fn now() -> i64 {
    SystemClock.unix_seconds()
}

impl World {
    async fn get(&self, path: &str) -> Answer {
        self.bases.of(path).call("GET", path, &[], b"").await
    }

    /// A POST of JSON, with a proof where there is one.
    async fn post(&self, path: &str, proof: Option<&str>, body: impl AsRef<[u8]>) -> Answer {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(proof.map(|proof| ("authorization", proof)));
        self.bases.of(path).call("POST", path, &headers, body.as_ref()).await
    }

    /// Asks for something that an agent's proof of `operation` is needed for, without a body.
    async fn ask(&self, agent: &mut TestAgent, path: &str, operation: &Operation) -> Answer {
        let proof = agent.prove(operation, now(), b"");
        self.bases.of(path).call("POST", path, &[("authorization", &proof)], b"").await
    }

    async fn activate(&self, machine: &TestMachine, key: &LicenseKey) -> Answer {
        self.post("/v1/activate", None, machine.activation(key, &machine.nonce()).to_string()).await
    }

    /// Activates machine `number`, which holds a seat then.
    async fn agent(&self, key: &LicenseKey, number: u64) -> TestAgent {
        let machine = TestMachine::new(number);
        let answer = self.activate(&machine, key).await;
        assert_eq!(answer.status, 201, "machine {number}: {}", answer.word());
        TestAgent::of(machine, &answer)
    }

    /// An agent on a machine of its own, the only one of its license.
    async fn lone_agent(&self, knobs: &str) -> TestAgent {
        let key = self.site.license(knobs, 1).await;
        self.agent(&key, 1).await
    }

    async fn beat(&self, agent: &mut TestAgent) -> Answer {
        let (proof, body) = crate::heartbeat(agent);
        self.post("/v1/heartbeat", Some(&proof), body).await
    }

    /// Takes the new secret that is answered.
    async fn rekey(&self, agent: &mut TestAgent) -> Answer {
        let answer = self.ask(agent, "/v1/rekey", &Operation::Rekey).await;
        if answer.status == 200 {
            agent.secret = answer.json()["secret"].as_str().unwrap().parse().unwrap();
        }
        answer
    }

    /// The keyset, verified under the root that agents are shipped with.
    async fn keyset(&self) -> Keyset {
        let text = String::from_utf8(self.get("/v1/keyset").await.body).unwrap();
        Keyset::verify(&text, &self.root(), ISSUER).unwrap()
    }

    fn root(&self) -> PublicKey {
        let bytes = jose_jwt::base64url::decode(&self.site.root_key).unwrap();
        PublicKey::from_bytes(bytes.as_slice().try_into().unwrap()).unwrap()
    }

    /// The answer's decision, verified as an agent does it.
    async fn decision(&self, agent: &TestAgent, answer: &Answer, request: (Nonce, u64)) -> VerifiedDecision {
        let expect = Expect {
            iss: ISSUER,
            aud: &PRODUCT.parse().unwrap(),
            sub: agent.install,
            now: Some(now()),
            request: Some(request),
            newest: None,
        };
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        verify_decision(&token, &self.keyset().await, &expect).unwrap()
    }
}

/// A problem document as it has to be; `word` is its status and code.
fn assert_problem(answer: &Answer, word: &str, why: &str) {
    let body = answer.json();
    assert_eq!(answer.word(), word, "{why}: {}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{why}");
    assert_eq!(body["status"], answer.status, "{why}");
    for member in ["type", "title", "detail"] {
        assert!(body[member].is_string(), "{why}: {member}");
    }
    assert_eq!(body["request_id"], answer.headers["x-request-id"].to_str().unwrap(), "{why}");
    assert!((now() - body["server_time"].as_i64().unwrap()).abs() < 60, "{why}");
    let is_to_come_back = matches!(answer.status, 429 | 503);
    assert_eq!(answer.headers.contains_key("retry-after"), is_to_come_back, "{why}");
    assert_eq!(answer.headers["cache-control"], "no-store", "{why}");
}

/// The answer's shape, without what is different in every one.
fn shape(answer: &Answer) -> Value {
    let mut body = answer.json();
    for member in ["request_id", "server_time"] {
        body[member] = Value::Null;
    }
    // What a function URL's front adds is the same for all, but for the time.
    let mut headers: Vec<_> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
    headers.sort();
    serde_json::json!([body, answer.body.len(), headers])
}
