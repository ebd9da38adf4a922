//! `POST /v1/activate`: a license key and a machine in, an install and its secret out.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use edge::activation::{Asking, By, digest, is_over, refused};
use edge::address::ClientAddress;
use edge::envelope::{content_type, parse_json, read_body};
use edge::judge::{judge, token};
use edge::keys::Current;
use edge::{Edge, Refusal, answer};
use http::StatusCode;
use protocol::LicenseKey;
use protocol::Secret;
use protocol::request::ActivateRequest;
use protocol::response::ActivateResponse;
use store::{Audit, Contact, Machine, Outcome};

/// How often an install may change under a request before that is put off.
const ATTEMPTS: usize = 5;

pub(crate) async fn activate(
    State(edge): State<Arc<Edge>>,
    address: Option<Extension<ClientAddress>>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let body = read_body(&parts.headers, body).await?;
    let request =
        ActivateRequest::read(&parse_json(content_type(&parts.headers), &body)?).map_err(Refusal::invalid)?;
    limit(&edge, address.map(|address| address.0.0), &request).await?;
    let keys = edge.keys.current(&edge).await?;
    for _ in 0..ATTEMPTS {
        if let Some(activated) = attempt(&edge, &keys, &request).await? {
            return Ok(answer::json(StatusCode::CREATED, &activated));
        }
    }
    Err(Refusal::unavailable())
}

/// Takes a place of the address's and of the key's rate.
async fn limit(edge: &Edge, address: Option<IpAddr>, request: &ActivateRequest) -> Result<(), Refusal> {
    let by_key = edge.settings.activations_per_key;
    let by_address = edge.settings.activations_per_address;
    // However it is spelled, it is the same key.
    let key = LicenseKey::parse(&request.license_key);
    let key = key.as_ref().map_or(&*request.license_key, LicenseKey::canonical);
    let mut subjects = vec![(digest(&[b"key", key.as_bytes()]), by_key)];
    subjects
        .extend(address.map(|address| (digest(&[b"address", address.to_string().as_bytes()]), by_address)));
    if edge.store.take_activation_places(&subjects).await? {
        return Ok(());
    }
    let slowest = by_key.every_ms.max(by_address.every_ms).unsigned_abs();
    Err(Refusal::slow_down(slowest.div_ceil(1000)))
}

/// Tries once. `None`: the install has changed meanwhile, and nothing was written.
async fn attempt(
    edge: &Edge,
    keys: &Current,
    request: &ActivateRequest,
) -> Result<Option<ActivateResponse>, Refusal> {
    let now = edge.now();
    let mut connection = edge.store.connection().await?;
    let activation = edge.store.begin_activation(&mut connection).await?;
    let key = LicenseKey::parse(&request.license_key).ok();
    let license = activation.find_license(key.as_ref()).await?.filter(|license| !is_over(license, now));
    let license = license.ok_or_else(refused)?;
    let machine = Machine {
        fingerprint: &request.fingerprint,
        instance_id: &request.instance_id,
        agent: &request.agent,
        name: request.name.as_deref(),
    };
    let asking = Asking {
        edge,
        activation: &activation,
        license: &license,
        machine,
        nonce: &request.nonce,
        by: By::Key,
        now,
    };
    let secret = Secret::random(edge.store.random());
    let subject = asking.activate(secret.clone()).await?;
    let judgement = judge(&subject, now);
    let token = token(edge, keys, &subject, &judgement, &request.nonce, 0, now);
    let response = ActivateResponse {
        install_id: subject.id,
        license_id: license.id,
        secret,
        counter: 0,
        state: judgement.decision.state,
        next_heartbeat_in: judgement.decision.next_heartbeat,
        server_time: now,
        token,
    };
    let audit = Audit {
        at: now,
        operation: "activate",
        outcome: Outcome::Accepted,
        counter: 0,
        decision: judgement.decision,
        clock_skew: None,
    };
    let committed = activation.commit(Contact { subject, audit: vec![audit] }).await?;
    if committed {
        edge.metrics.decided(&judgement.decision);
        tracing::info!(install = %response.install_id, license = %license.id, state = %response.state, "activated");
    }
    Ok(committed.then_some(response))
}
