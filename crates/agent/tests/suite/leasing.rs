// What the server does about offline leases.

use policy::{MinMatch, State};
use protocol::{
    Fingerprint, InstallId, LeaseId, LicenseId, LicenseKey, Secret,
    ambient::Clock,
    claims::{LeaseClaims, ProfileClaim},
    json, keyset, lease,
    offline::{OfflineReply, PresentedRequest},
    problem::{Code, Problem},
    proof::Operation,
    request::LeaseRequest,
    response::{CompactJose, LeaseResponse},
    token,
};
use qubictether_agent::transport::{Answer, Request};

use crate::server::{Books, ISSUER, LICENSE_KEY, product, respond, rung};

/// What a test wants a lease to say.
type Edit = Box<dyn FnMut(&mut LeaseClaims) + Send>;

/// What the server knows of leases.
#[derive(Default)]
pub(crate) struct Leasing {
    /// The lease in force, and its end.
    pub(crate) live: Option<(LeaseId, i64)>,
    /// Why none is granted.
    pub(crate) refusal: Option<String>,
    pub(crate) weights: Vec<(String, u64)>,
    pub(crate) edit: Option<Edit>,
    made: u8,
}

impl Books {
    /// The rungs of a decision made now, in seconds after it: a lease in force holds them back to its end.
    pub(crate) fn rungs_now(&self) -> Vec<(i64, State, u8)> {
        let now = self.clock.unix_seconds();
        let Some((_, end)) = self.leasing.live.filter(|(_, end)| *end > now) else {
            return self.rungs.clone();
        };
        let Some((first, ..)) = self.rungs.first() else { return Vec::new() };
        let later = (end - now - first).max(0);
        let leased = (later > 0).then_some((*first, State::Leased, 12));
        leased
            .into_iter()
            .chain(self.rungs.iter().map(|(at, state, rule)| (at + later, *state, *rule)))
            .collect()
    }

    /// Makes a lease that is in force from now on.
    fn make_lease(&mut self, seconds: i64, counter: u64, fp: Fingerprint) -> LeaseClaims {
        self.leasing.made += 1;
        let now = self.clock.unix_seconds();
        let id = LeaseId::new(now * 1000, [self.leasing.made; 10]);
        self.leasing.live = Some((id, now + seconds));
        let (state, rule, reason) = self.state;
        let ladder = self.rungs_now().into_iter().map(|(after, state, rule)| rung(now + after, state, rule));
        let mut claims = LeaseClaims {
            iss: ISSUER.into(),
            sub: self.install,
            aud: product(),
            lic: self.license,
            pro: ProfileClaim { id: protocol::ProfileId::new(now * 1000, [1; 10]), version: 1 },
            ent: serde_json::value::RawValue::from_string("{\"edition\":\"leased\"}".into()).unwrap(),
            jti: id,
            iat: now,
            nbf: now,
            exp: now + seconds,
            ctr: counter,
            high: self.high,
            state,
            rule,
            reason,
            ladder: ladder.collect(),
            fp,
            min_match: MinMatch::parse("0.6").unwrap(),
            weights: self.leasing.weights.iter().cloned().collect(),
        };
        if let Some(edit) = &mut self.leasing.edit {
            edit(&mut claims);
        }
        claims
    }

    pub(crate) fn grant(&mut self, request: &Request) -> Answer {
        let body = request.body.clone().unwrap_or_default();
        self.proven(request, &Operation::Lease, |books, proof, secret| {
            let read = LeaseRequest::read(&json::parse(&body).unwrap()).unwrap();
            let now = books.clock.unix_seconds();
            if let Some(reason) = &books.leasing.refusal {
                let problem = Problem::new(Code::LeaseRefused, "", "request-1".into(), now);
                return respond(403, &Problem { reason: Some(reason.clone()), ..problem });
            }
            let counter = proof.counter.value();
            let claims = books.make_lease(read.duration_seconds, counter, read.heartbeat.fingerprint);
            let (lease_id, end) = books.leasing.live.unwrap();
            let signed = token::sign(&claims, &books.lease_key);
            let artifact = lease::seal(&signed, secret, lease_id, [7; 12]);
            respond(201, &LeaseResponse { lease_id, artifact, expires_at: end, server_time: now })
        })
    }

    pub(crate) fn take_back(&mut self, request: &Request) -> Answer {
        let id = request.path.split('/').nth(3).unwrap().parse().unwrap();
        self.proven(request, &Operation::LeaseReturn(id), |books, proof, _| {
            if books.leasing.live.is_none_or(|(live, _)| live != id) {
                return books.refuse(Code::NotFound);
            }
            books.leasing.live = None;
            books.decision((proof.nonce, proof.counter.value()))
        })
    }

    /// What an operator makes of a request by file, before it is encrypted.
    pub(crate) fn answer_by_file(&mut self, request: &str) -> (OfflineReply, PresentedRequest) {
        let presented = PresentedRequest::read(&json::parse(request.as_bytes()).unwrap()).unwrap();
        assert!(presented.is_made_with(&LicenseKey::parse(LICENSE_KEY).unwrap()));
        let secret = Secret::from_bytes(*self.new_key().seed());
        (self.secrets, self.high) = (vec![secret.clone()], 0);
        let asked = presented.request().clone();
        let claims = self.make_lease(asked.duration_seconds, 0, asked.fingerprint);
        let (lease_id, _) = self.leasing.live.unwrap();
        let signed = token::sign(&claims, &self.lease_key);
        let reply = OfflineReply {
            request: asked.nonce,
            install_id: self.install,
            license_id: self.license,
            keyset: CompactJose(keyset::sign(&self.keyset, &self.root)),
            token: self.token((asked.nonce, 0)),
            artifact: lease::seal(&signed, &secret, lease_id, [7; 12]),
            secret,
            counter: 0,
            lease_id,
        };
        (reply, presented)
    }
}

/// Another install, or another license.
pub(crate) fn another_install() -> (InstallId, LicenseId) {
    (InstallId::new(0, [9; 10]), LicenseId::new(0, [9; 10]))
}
