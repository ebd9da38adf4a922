//! What an answer makes of what an agent knows.

use protocol::{
    InstallId, LeaseId, LicenseId, Nonce, Secret,
    claims::{VerifiedDecision, VerifiedLease},
    response::CompactJose,
    token::{Expect, TokenError},
};

use super::{Core, Install, Known, lease::KeptLease};
use crate::{
    clock::Reading,
    schedule,
    timekeeping::{LadderTime, ServerTime},
    trust::Now,
};

/// An answer with something signed that is yet to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) what: What,
    /// The server's clock, which isn't signed; an answer by file doesn't tell it.
    pub(crate) server_time: Option<i64>,
    /// When it came.
    pub(crate) reading: Reading,
    /// The nonce and the counter of the request.
    pub(crate) request: (Nonce, u64),
    pub(crate) by: By,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A decision.
    Decision(CompactJose),
    /// A decision, and that the lease is ended.
    Return(CompactJose),
    /// A lease of this name, opened.
    Lease(LeaseId, CompactJose),
}

/// What an answer is verified for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// This secret proved the request.
    Secret(Secret),
    /// It makes an install of this machine.
    Activation {
        /// Which.
        install_id: InstallId,
        /// Of which license.
        license_id: LicenseId,
        /// What it proves requests with.
        secret: Secret,
    },
}

/// What was verified.
#[derive(Clone, Debug)]
pub(crate) enum Verified {
    Decision(VerifiedDecision),
    Lease(VerifiedLease),
}

impl Verified {
    /// The version of the newest keyset, if it is said.
    pub(crate) const fn keyset(&self) -> Option<u64> {
        match self {
            Self::Decision(claims) => Some(claims.ksv),
            Self::Lease(_) => None,
        }
    }
}

impl Core {
    /// Verifies what was answered: that it answers the request, and that it isn't older than by a minute than the
    /// newest.
    ///
    /// Its `exp` is looked at with what is certain of the time, not with the wall clock: the nonce says that it is
    /// fresh, and a wall clock that was wrong over a restart must not make an agent deaf.
    pub(crate) fn verify(&self, heard: &Heard) -> Result<Verified, TokenError> {
        self.verify_at(heard, self.surely(&heard.reading))
    }

    /// Verifies at a time that is certainly past.
    pub(super) fn verify_at(&self, heard: &Heard, surely: i64) -> Result<Verified, TokenError> {
        let sub = match (&heard.by, self.install()) {
            (By::Activation { install_id, .. }, _) => *install_id,
            (By::Secret(_), Some(install)) => install.id,
            (By::Secret(_), None) => return Err(TokenError::Subject),
        };
        let expect = Expect {
            iss: &self.issuer,
            aud: &self.product,
            sub,
            now: None,
            request: Some(heard.request),
            newest: self.install().map(|install| install.time.newest()),
        };
        let now = Now { surely, told: heard.server_time };
        let (license, verified) = match &heard.what {
            What::Decision(token) | What::Return(token) => {
                let claims: VerifiedDecision = self.trust.verify(token.as_str(), &expect, now)?;
                (claims.lic, Verified::Decision(claims))
            }
            What::Lease(id, signed) => {
                let claims: VerifiedLease = self.trust.verify(signed.as_str(), &expect, now)?;
                if claims.jti != *id {
                    return Err(TokenError::OtherRequest);
                }
                (claims.lic, Verified::Lease(claims))
            }
        };
        match &heard.by {
            By::Activation { license_id, .. } if *license_id != license => Err(TokenError::Claims),
            _ => Ok(verified),
        }
    }

    /// A time that is certainly past, Unix seconds.
    pub(super) fn surely(&self, reading: &Reading) -> i64 {
        self.install().map_or(i64::MIN, |install| install.time.at(reading).surely())
    }

    /// What was answered is verified: a contact.
    pub(crate) fn accept(&mut self, heard: Heard, verified: Verified) {
        let Heard { what, server_time, reading, by, .. } = heard;
        match (what, verified) {
            (What::Decision(token), Verified::Decision(claims)) => self.decided(by, token, claims, &reading),
            (What::Return(token), Verified::Decision(claims)) => {
                self.decided(by, token, claims, &reading);
                if let Some(known) = &mut self.known {
                    (known.install.lease, known.lease) = (None, None);
                }
            }
            (What::Lease(_, signed), Verified::Lease(claims)) => self.leased(by, signed, claims, &reading),
            // What is verified is what was heard.
            (What::Lease(..), Verified::Decision(_)) | (_, Verified::Lease(_)) => return,
        }
        if let Some(server_time) = server_time {
            self.set_server_time(server_time, &reading);
        }
        self.prune();
    }

    fn decided(&mut self, by: By, token: CompactJose, decision: VerifiedDecision, reading: &Reading) {
        let (secret, known) = match (by, self.known.take()) {
            (By::Secret(secret), Some(known)) => (secret, known),
            (By::Activation { secret, .. }, known) => {
                (secret, activated(known, token.clone(), decision.clone(), reading))
            }
            (By::Secret(_), None) => return,
        };
        let Known { mut install, decision: newest, lease } = known;
        install.counter = install.counter.max(decision.high);
        install.interval = schedule::interval(decision.nhb);
        install.contacted(secret, decision.iat, reading);
        let is_newest = decision.iat >= newest.iat;
        if is_newest {
            install.token = token;
            install.lease.iter_mut().for_each(|lease| lease.came_later = false);
        }
        let decision = if is_newest { decision } else { newest };
        self.known = Some(Known { install, decision, lease });
    }

    fn leased(&mut self, by: By, signed: CompactJose, lease: VerifiedLease, reading: &Reading) {
        let Some(known) = &mut self.known else { return };
        let (By::Secret(secret) | By::Activation { secret, .. }) = by;
        known.install.counter = known.install.counter.max(lease.high);
        known.install.contacted(secret, lease.iat, reading);
        known.install.lease = Some(KeptLease { signed, came_later: true });
        known.lease = Some(lease);
    }

    /// A new secret was given for the one that proved the request. Both are kept until one is heard to serve.
    pub(crate) fn rekeyed(&mut self, secret: Secret, used: Secret) {
        if let Some(Known { install, .. }) = &mut self.known {
            install.secrets = vec![secret, used];
        }
    }

    /// The install is no more. What was learnt of keys stays, so that no old keyset is taken later.
    pub(crate) fn deactivated(&mut self) {
        self.known = None;
        self.prune();
    }
}

/// The install of an activation, as the decision makes it. What was known of time stays known; a lease stays held where
/// the machine is still the same install.
fn activated(
    known: Option<Known>,
    token: CompactJose,
    decision: VerifiedDecision,
    reading: &Reading,
) -> Known {
    let time = known
        .as_ref()
        .map_or_else(|| LadderTime::heard(decision.iat, reading.clone()), |known| known.install.time.clone());
    let (kept, lease) = match known {
        Some(Known { install, lease, .. }) if install.id == decision.sub => (install.lease, lease),
        _ => (None, None),
    };
    let install = Install {
        id: decision.sub,
        license_id: decision.lic,
        secrets: Vec::new(),
        counter: 0,
        token,
        lease: kept,
        server_time: ServerTime::told(decision.iat, reading.clone()),
        last_contact: decision.iat,
        next_heartbeat_at: 0,
        interval: schedule::DEFAULT_INTERVAL,
        activation_needed: false,
        time,
    };
    Known { install, decision, lease }
}

impl Install {
    /// The server was heard: something of this `iat` was verified, and this secret serves.
    fn contacted(&mut self, secret: Secret, iat: i64, reading: &Reading) {
        self.secrets = vec![secret];
        self.time = self.time.hear(iat, reading);
        self.last_contact = self.time.newest();
        self.activation_needed = false;
    }
}
