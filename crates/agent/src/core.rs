//! What an agent knows, and what an answer makes of it. Pure: no clock, no I/O, no randomness of its own.

mod hear;
mod lease;
mod offline;

use jose_jwt::PublicKey;
use policy::{Rule, Rung, State};
use protocol::{
    Counter, Fingerprint, InstallId, LicenseId, MAX_INTEGER, Nonce, ProductCode, Secret,
    claims::{ReasonCode, VerifiedDecision, VerifiedLease},
    keyset::Keyset,
    response::CompactJose,
    token::{Expect, TokenError},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Error,
    clock::Reading,
    ladder::{self, Position},
    settings::{Settings, spelled},
    timekeeping::{LadderTime, ServerTime},
    trust::{Signed, Trust, TrustRecord},
};

pub(crate) use hear::{By, Heard, What};
use lease::KeptLease;
use offline::PendingRequest;

/// The form that a [`Record`] has.
const RECORD_VERSION: u32 = 1;

/// A rekey's answer isn't signed: the secret before it is kept until the new one has been heard to serve.
const MAX_SECRETS: usize = 2;

/// What an agent keeps on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    issuer: String,
    product: ProductCode,
    #[serde(with = "spelled")]
    root_key: PublicKey,
    trust: TrustRecord,
    install: Option<Install>,
    #[serde(default)]
    requests: Vec<PendingRequest>,
    last_error: Option<String>,
}

/// What an agent keeps of an activation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Install {
    pub(crate) id: InstallId,
    pub(crate) license_id: LicenseId,
    /// What proofs are made with, the newest first; one or two.
    pub(crate) secrets: Vec<Secret>,
    /// The number of the last attempt, or what the server says is the highest.
    counter: u64,
    /// The newest verified decision.
    pub(crate) token: CompactJose,
    /// The lease that is held.
    #[serde(default)]
    lease: Option<KeptLease>,
    pub(crate) time: LadderTime,
    server_time: ServerTime,
    pub(crate) last_contact: i64,
    pub(crate) next_heartbeat_at: i64,
    /// The last interval that the server asked for, in seconds.
    pub(crate) interval: u64,
    pub(crate) activation_needed: bool,
}

/// An install, and what was verified of it.
#[derive(Clone, Debug)]
struct Known {
    install: Install,
    /// The claims of its token.
    decision: VerifiedDecision,
    /// The claims of its lease: there if and only if the install has one.
    lease: Option<VerifiedLease>,
}

/// What the newest verified thing says, token or lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict<'a> {
    pub(crate) decided: (State, Rule, &'a str),
    pub(crate) ladder: &'a [Rung<ReasonCode>],
    pub(crate) entitlements: &'a RawValue,
}

/// One attempt at a request that needs a proof. Its counter is taken: it has to be on disk before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) counter: Counter,
    pub(crate) nonce: Nonce,
}

/// What an agent knows.
#[derive(Clone, Debug)]
pub struct Core {
    issuer: String,
    product: ProductCode,
    root_key: PublicKey,
    pub(crate) trust: Trust,
    known: Option<Known>,
    /// What was asked by file and not answered yet, the newest first.
    requests: Vec<PendingRequest>,
    pub(crate) last_error: Option<String>,
}

/// Why a record isn't taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// It is another server's, another product's, or under another root key.
    Foreign,
    /// It isn't what an agent of this version wrote.
    Corrupt(String),
}

impl Core {
    /// Knows the settings, and nothing yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            issuer: settings.issuer.clone(),
            product: settings.product.clone(),
            root_key: settings.root_key.clone(),
            trust: Trust::new(settings.root_key.clone()),
            known: None,
            requests: Vec::new(),
            last_error: None,
        }
    }

    /// Verifies a record again, without regard to `exp`.
    pub fn open(record: Record, settings: &Settings) -> Result<Self, RecordError> {
        let corrupt = |what: &str, error: TokenError| RecordError::Corrupt(format!("{what}: {error}"));
        if record.version != RECORD_VERSION {
            return Err(RecordError::Corrupt(format!("it has version {}", record.version)));
        }
        let mut core = Self::new(settings);
        if (&record.issuer, &record.product, &record.root_key)
            != (&core.issuer, &core.product, &core.root_key)
        {
            // Nothing is lost where no install is: it may become another one's.
            return if record.install.is_none() { Ok(core) } else { Err(RecordError::Foreign) };
        }
        core.trust = Trust::open(record.trust, core.root_key.clone(), &core.issuer)
            .map_err(|error| corrupt("keys", error))?;
        if let Some(install) = record.install {
            if !(1..=MAX_SECRETS).contains(&install.secrets.len())
                || install.counter > MAX_INTEGER.unsigned_abs()
            {
                return Err(RecordError::Corrupt("secrets or counter are out of range".into()));
            }
            let expect = expect_again(&core.issuer, &core.product, install.id);
            let decision = core.trust.verify_again(install.token.as_str(), &expect);
            let decision = decision.map_err(|error| corrupt("token", error))?;
            let lease = install.lease.as_ref();
            let lease = lease.map(|lease| core.trust.verify_again(lease.signed.as_str(), &expect));
            let lease = lease.transpose().map_err(|error| corrupt("lease", error))?;
            core.known = Some(Known { install, decision, lease });
        }
        core.requests = record.requests;
        core.last_error = record.last_error;
        Ok(core)
    }

    /// What is to be kept on disk.
    pub fn record(&self) -> Record {
        Record {
            version: RECORD_VERSION,
            issuer: self.issuer.clone(),
            product: self.product.clone(),
            root_key: self.root_key.clone(),
            trust: self.trust.record().clone(),
            install: self.install().cloned(),
            requests: self.requests.clone(),
            last_error: self.last_error.clone(),
        }
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn install(&self) -> Option<&Install> {
        self.known.as_ref().map(|known| &known.install)
    }

    pub(crate) fn install_mut(&mut self) -> Result<&mut Install, Error> {
        self.known.as_mut().map(|known| &mut known.install).ok_or(Error::NotActivated)
    }

    /// The claims of the newest verified decision.
    pub fn claims(&self) -> Option<&VerifiedDecision> {
        self.known.as_ref().map(|known| &known.decision)
    }

    /// What the newest verified thing says.
    pub(crate) fn verdict(&self) -> Option<Verdict<'_>> {
        self.known.as_ref().map(Known::verdict)
    }

    /// What holds at this reading, and the time that it is then. The machine is looked at only where a lease counts;
    /// `None`: it shows nothing.
    pub fn position(
        &self,
        reading: &Reading,
        machine: impl FnOnce() -> Option<Fingerprint>,
    ) -> Option<(Position<'_>, LadderTime)> {
        let known = self.known.as_ref()?;
        let time = known.install.time.at(reading);
        let verdict = known.verdict();
        let position = match ladder::position(verdict.decided, verdict.ladder, &time) {
            own @ Position { rule: 0, .. } => own,
            _ if known.counting_lease(&time).is_some_and(|lease| !lease::is_for(lease, machine())) => {
                Position::ELSEWHERE
            }
            position => position,
        };
        Some((position, time))
    }

    /// Keeps the time that it is at this reading.
    pub(crate) fn keep_time(&mut self, reading: &Reading) {
        if let Some(Known { install, .. }) = &mut self.known {
            install.time = install.time.at(reading);
        }
    }

    /// Takes the next counter, above its own and the server's. When there is none left, activation is needed.
    ///
    /// INVARIANT(counter): whoever takes one keeps the record on disk before he sends it.
    pub(crate) fn attempt(&mut self, nonce: Nonce) -> Result<Attempt, Error> {
        let install = self.install_mut()?;
        let Some(counter) = Counter::after(install.counter) else {
            install.activation_needed = true;
            return Err(Error::ActivationNeeded);
        };
        install.counter = counter.value();
        Ok(Attempt { counter, nonce })
    }

    /// The server's time for a proof's bucket, Unix seconds.
    pub(crate) fn server_time(&self, reading: &Reading) -> i64 {
        self.install().map_or(0, |install| install.server_time.at(reading))
    }

    /// Believes a server's clock as far as proofs go, if it is one.
    pub(crate) fn set_server_time(&mut self, unix: i64, reading: &Reading) {
        if let Some(Known { install, .. }) = &mut self.known
            && (0..=MAX_INTEGER).contains(&unix)
        {
            install.server_time = ServerTime::told(unix, reading.clone());
        }
    }

    /// Forgets keysets that nothing needs.
    pub(crate) fn prune(&mut self) {
        let Self { issuer, product, trust, known, .. } = self;
        let Some(Known { install, .. }) = known else { return trust.prune(&[]) };
        let expect = expect_again(issuer, product, install.id);
        let token =
            |keyset: &Keyset| VerifiedDecision::verify(install.token.as_str(), keyset, &expect).is_ok();
        let lease = install.lease.as_ref();
        let lease = |keyset: &Keyset| {
            lease.is_some_and(|lease| VerifiedLease::verify(lease.signed.as_str(), keyset, &expect).is_ok())
        };
        trust.prune(&[&token, &lease]);
    }
}

impl Known {
    fn verdict(&self) -> Verdict<'_> {
        if let Some(VerifiedLease { state, rule, reason, ladder, ent, .. }) = self.newest_lease() {
            return Verdict { decided: (*state, *rule, reason.as_str()), ladder, entitlements: ent };
        }
        let VerifiedDecision { state, rule, reason, ladder, ent, .. } = &self.decision;
        Verdict { decided: (*state, *rule, reason.as_str()), ladder, entitlements: ent }
    }
}

/// What something that was verified before has to be, whatever its age.
const fn expect_again<'a>(iss: &'a str, aud: &'a ProductCode, sub: InstallId) -> Expect<'a> {
    Expect { iss, aud, sub, now: None, request: None, newest: None }
}
