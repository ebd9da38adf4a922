//! The answer to the request of a machine that is never online: an activation, the keys and a lease in one.

use edge::activation::{Asking, By, is_over, refused};
use edge::judge::{judge, token};
use edge::keys::Current;
use edge::{Edge, Refusal, lease};
use jose_jwt::x25519::SecretKey;
use protocol::admin::{OfflineAnswer, Time};
use protocol::ambient::array;
use protocol::offline::{OfflineReply, PresentedRequest};
use protocol::problem::Code;
use protocol::response::CompactJose;
use protocol::{Secret, json};
use serde_json::json;
use store::{Actor, Audit, Changed, Contact, Machine, Outcome};

use crate::error::Error;

/// How often an install may change under a request before that is put off.
const ATTEMPTS: usize = 5;

/// Answers a request file: activates the machine, which counts as the approval where one is needed, and grants it a lease.
/// All of it, or nothing.
///
/// # Errors
/// When the file isn't as described or too old; when no license has that key, there is no seat, the request was answered
/// before; or with the reason for which a lease would be refused.
pub async fn answer(edge: &Edge, actor: &Actor, file: &[u8]) -> Result<OfflineAnswer, Error> {
    let document = json::parse(file).map_err(|error| {
        Refusal::new(Code::Malformed, format!("The offline request is refused: {error}."))
    })?;
    let presented = PresentedRequest::read(&document).map_err(Error::Invalid)?;
    presented.request().check_age(edge.now()).map_err(|error| Error::Invalid(vec![error]))?;
    edge.store.fill_key_digests().await?;
    let keys = edge.keys.current(edge).await?;
    for _ in 0..ATTEMPTS {
        if let Some(answered) = attempt(edge, actor, &keys, &presented).await? {
            return Ok(answered);
        }
    }
    Err(Refusal::unavailable().into())
}

/// Tries once. `None`: the install has changed meanwhile, and nothing was written.
async fn attempt(
    edge: &Edge,
    actor: &Actor,
    keys: &Current,
    presented: &PresentedRequest,
) -> Result<Option<OfflineAnswer>, Error> {
    let now = edge.now();
    let request = presented.request();
    let mut connection = edge.store.connection().await?;
    let activation = edge.store.begin_activation(&mut connection).await?;
    let found = activation.find_license_of_digest(&request.key_digest).await?;
    let made_with = found.filter(|(license, key)| presented.is_made_with(key) && !is_over(license, now));
    let (license, _) = made_with.ok_or_else(refused)?;
    if !activation.remember_request(license.id, request).await? {
        let detail = "This request was answered before; the machine has to make another.";
        return Err(Refusal::new(Code::NonceReplayed, detail).into());
    }
    let machine = Machine {
        fingerprint: &request.fingerprint,
        instance_id: &request.instance_id,
        agent: &request.agent,
        name: None,
    };
    let asking = Asking {
        edge,
        activation: &activation,
        license: &license,
        machine,
        nonce: &request.nonce,
        by: By::Operator,
        now,
    };
    let secret = Secret::random(edge.store.random());
    let mut subject = asking.activate(secret.clone()).await?;
    let besides = activation.on_lease_besides(license.id, subject.id, now).await?;
    let decision = judge(&subject, now).decision;
    let seconds = lease::seconds(&subject, &decision, request.duration_seconds, besides, now)
        .map_err(Refusal::lease)?;
    let granted = lease::grant(edge, keys, &mut subject, seconds, 0, &secret, now);
    let reply = OfflineReply {
        request: request.nonce,
        install_id: subject.id,
        license_id: license.id,
        secret,
        counter: 0,
        keyset: CompactJose(keys.keyset.jws.clone()),
        token: token(edge, keys, &subject, &granted.judgement, &request.nonce, 0, now),
        lease_id: granted.id,
        artifact: granted.artifact,
    };
    let random = edge.store.random();
    let sealed = reply.seal(&request.reply_to, &SecretKey::from_bytes(&array(random)), array(random));
    let decision = granted.judgement.decision;
    let audit = ["activate", "lease"].map(|operation| Audit {
        at: now,
        operation,
        outcome: Outcome::Accepted,
        counter: 0,
        decision,
        clock_skew: None,
    });
    let answered = OfflineAnswer {
        reply: sealed.0,
        install_id: subject.id,
        license_id: license.id,
        lease_id: granted.id,
        expires_at: Time(granted.ends_at),
    };
    let after = json!({ "install_id": answered.install_id, "license_id": answered.license_id,
                        "lease_id": answered.lease_id, "expires_at": answered.expires_at });
    let changed = Changed {
        action: "lease.answer",
        resource: "lease",
        id: answered.lease_id.to_string(),
        before: None,
        after: Some(after.to_string()),
    };
    let contact = Contact { subject, audit: audit.to_vec() };
    let committed = activation.commit_for(contact, actor, &changed).await?;
    if committed {
        edge.metrics.decided(&decision);
        edge.metrics.leased("granted");
        tracing::info!(install = %answered.install_id, license = %license.id, "answered an offline request");
    }
    Ok(committed.then_some(answered))
}
