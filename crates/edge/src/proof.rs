//! A request that carries a proof, and what has to hold before it is judged.
//!
//! The order is the protocol's: size, proof, media type and body, replay, rate. Nothing here reads or writes: the
//! caller loads the install, and commits what came of it.

use axum::extract::Request;
use bytes::Bytes;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use protocol::InstallId;
use protocol::admission::NotAdmitted;
pub use protocol::admission::{Admitted, Proven};
use protocol::problem::Code;
use protocol::proof::{BUCKET_SECONDS, Operation, ProofHeader, bucket};
use protocol::secrets::Secrets;
use sha2::{Digest, Sha256};
use store::Subject;

use crate::envelope::{content_type, read_body};
use crate::{Edge, Refusal};

/// How long the secret of a revoked install goes on serving, seconds: so long each of its beats is told.
const REVOKED_SERVES: i64 = 30 * 86_400;

/// A request as it came, its proof not yet looked at.
#[derive(Debug)]
pub struct ProofRequest {
    /// None when the header is missing or in another form.
    header: Option<ProofHeader>,
    /// The body's media type.
    pub content_type: Option<HeaderValue>,
    /// The raw body, which the proof signs.
    pub body: Bytes,
}

impl ProofRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// 413 when the body is too large, 400 when it breaks off.
    pub async fn read(request: Request) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let body = read_body(&parts.headers, body).await?;
        let mut given = parts.headers.get_all(AUTHORIZATION).iter();
        let header = match (given.next(), given.next()) {
            (Some(header), None) => ProofHeader::parse(header.as_bytes()).ok(),
            _ => None,
        };
        Ok(Self { header, content_type: content_type(&parts.headers).cloned(), body })
    }

    /// The install that the request says it is of. One without a proof is of nobody: it is looked for all the same.
    pub fn install(&self) -> InstallId {
        self.header.as_ref().map_or(InstallId::from_uuid(uuid::Uuid::nil()), |header| header.install)
    }

    /// Checks the proof against the install's secrets.
    ///
    /// # Errors
    /// 401, the same and after the same work whatever is wrong; 503 when the proof holds, but the database was restored in
    /// its bucket or later and may have forgotten that it was accepted.
    pub fn prove(
        &self,
        subject: Option<&Subject>,
        operation: &Operation,
        now: i64,
    ) -> Result<Proven, Refusal> {
        let digest: [u8; 32] = Sha256::digest(&self.body).into();
        let known =
            |subject: &&Subject| subject.revoked_at.is_none_or(|at| now < at.saturating_add(REVOKED_SERVES));
        let subject = subject.filter(known);
        let nobody = Secrets::default();
        let secrets = subject.and_then(|subject| subject.secrets.as_ref()).unwrap_or(&nobody);
        let decoy = ProofHeader::of_nobody();
        let header = self.header.as_ref().unwrap_or(&decoy);
        let secret = secrets.verify(header, operation, &digest, now).ok_or_else(Refusal::invalid_proof)?;
        let Some(subject) = subject.filter(|subject| subject.license_id == header.license) else {
            return Err(Refusal::invalid_proof());
        };
        // A restore longer ago than any bucket that is taken asks nothing more.
        let restore =
            subject.restored_at.map(bucket).filter(|restore| bucket(now) <= restore.saturating_add(1));
        if let Some(restore) = restore
            && header.signed_bucket(secret, operation, &digest, now) <= Some(restore)
        {
            return Err(Refusal::put_off(restore.saturating_add(1) * BUCKET_SECONDS - now));
        }
        Ok(Proven { counter: header.counter, nonce: header.nonce, secret: secret.clone() })
    }
}

/// Whether a proven request may be judged, by what is remembered of its install. Changes nothing.
///
/// # Errors
/// 409 when it was here before or comes too late, 429 when the install is judged too often.
pub fn admit(proven: Proven, subject: &Subject, edge: &Edge) -> Result<Admitted, Refusal> {
    let now_ms = edge.store.clock().unix_millis();
    proven.admit(&subject.replay, subject.rate, now_ms).map_err(|why| match why {
        NotAdmitted::NonceReplayed => {
            let detail = "This nonce was accepted before; each attempt has one of its own.";
            Refusal::new(Code::NonceReplayed, detail)
        }
        NotAdmitted::CounterStale => {
            let detail = "A later attempt of this install was accepted before this one.";
            Refusal::new(Code::CounterStale, detail)
        }
        NotAdmitted::TooOften { wait_ms } => Refusal::slow_down(wait_ms.unsigned_abs().div_ceil(1000)),
    })
}
