//! Every route of the admin API: who may call it, what it takes, what it answers.
//!
//! The one table that gives routes their roles. It makes the router and the OpenAPI document, so that neither has a
//! route that the other hasn't; `docs/admin-api.md` says the same for people.

use http::StatusCode;
use protocol::admin::{
    ApiKey, ApiKeyChange, AuditRow, ChainCheck, ChangedInstalls, ChosenInstalls, CreatedApiKey,
    CreatedWebhook, Credentials, Delivery, DryRun, DryRunRequest, Heartbeat, Hold, Install, KeyRotation,
    Lease, License, LicenseChange, LicenseWithKey, NewApiKey, NewHold, NewLicense, NewProfile, NewUser,
    NewVersion, NewWebhook, OfflineAnswer, OfflineRequestFile, Overview, Profile, ProfileVersion,
    Publication, Rebinding, RevealedKey, Role, Session, SigningKeys, TotpAction, TotpAnswer, User,
    UserChange, Webhook,
};

use super::route::{Access, Route};
use super::{
    api_keys, audit, heartbeats, hold, installs, leases, licenses, openapi, overview, profiles, session,
    signing_keys, users, webhooks,
};

const PUBLIC: Access = Access::Public;
const SIGN_IN: Access = Access::SignIn;
const SIGNED_IN: Access = Access::SignedIn;
const VIEWER: Access = Access::Role(Role::Viewer);
const OPERATOR: Access = Access::Role(Role::Operator);
const OWNER: Access = Access::Role(Role::Owner);

/// The table.
pub(super) fn all() -> Vec<Route> {
    let groups = [
        access(),
        license_routes(),
        install_routes(),
        profile_routes(),
        lease_routes(),
        webhook_routes(),
        log_routes(),
    ];
    groups.into_iter().flatten().collect()
}

/// Who calls.
fn access() -> Vec<Route> {
    vec![
        Route::get("/openapi.json", PUBLIC, "This document", openapi::show).tells::<openapi::Document>(),
        Route::post("/session", SIGN_IN, "Sign in", session::create)
            .reads::<Credentials>()
            .answers_with::<Session>(StatusCode::CREATED, false),
        Route::get("/session", SIGNED_IN, "Who is calling", session::show).tells::<Session>(),
        Route::delete("/session", SIGNED_IN, "Sign out", session::remove).answers_nothing(),
        Route::post("/session/totp", SIGNED_IN, "Enrol, confirm or remove the second factor", session::totp)
            .reads::<TotpAction>()
            .tells::<TotpAnswer>(),
        Route::get("/users", OWNER, "People who may sign in", users::list).lists::<User>(&[]),
        Route::post("/users", OWNER, "Make a user", users::create).makes::<NewUser, User>(),
        Route::patch("/users/{id}", OWNER, "Change a user", users::change).changes::<UserChange, User>(),
        Route::delete("/users/{id}", OWNER, "Remove a user", users::remove).removes(),
        Route::get("/api-keys", OWNER, "Scripts' keys", api_keys::list).lists::<ApiKey>(&[]),
        Route::post("/api-keys", OWNER, "Make an API key", api_keys::create)
            .makes::<NewApiKey, CreatedApiKey>(),
        Route::patch("/api-keys/{id}", OWNER, "Change an API key", api_keys::change)
            .changes::<ApiKeyChange, ApiKey>(),
        Route::delete("/api-keys/{id}", OWNER, "End an API key", api_keys::remove).removes(),
    ]
}

fn license_routes() -> Vec<Route> {
    vec![
        Route::get("/licenses", VIEWER, "Licenses", licenses::list).lists::<License>(&licenses::FILTERS),
        Route::post("/licenses", OPERATOR, "Make a license", licenses::create)
            .makes::<NewLicense, LicenseWithKey>(),
        Route::get("/licenses/{id}", VIEWER, "A license", licenses::show).shows::<License>(),
        Route::patch("/licenses/{id}", OPERATOR, "Change a license's terms", licenses::change)
            .changes::<LicenseChange, License>(),
        Route::post("/licenses/{id}/suspend", OPERATOR, "Suspend a license", licenses::suspend)
            .acts::<License>(),
        Route::post("/licenses/{id}/resume", OPERATOR, "End a suspension", licenses::resume)
            .acts::<License>(),
        Route::post("/licenses/{id}/revoke", OPERATOR, "Revoke a license for good", licenses::revoke)
            .acts::<License>(),
        Route::post("/licenses/{id}/reveal-key", OPERATOR, "Tell a license's key", licenses::reveal_key)
            .tells::<RevealedKey>(),
        Route::post(
            "/licenses/{id}/rotate-key",
            OPERATOR,
            "Give a license another key",
            licenses::rotate_key,
        )
        .acts::<LicenseWithKey>(),
    ]
}

fn install_routes() -> Vec<Route> {
    vec![
        Route::get("/overview", VIEWER, "What there is, and what is about to happen", overview::show)
            .tells::<Overview>(),
        Route::get("/hold", VIEWER, "The incident hold that is on", hold::show).tells::<Hold>(),
        Route::put("/hold", OWNER, "Keep breaches from taking any install below grace", hold::set)
            .reads::<NewHold>()
            .tells::<Hold>(),
        Route::delete("/hold", OWNER, "End the incident hold", hold::end).answers_nothing(),
        Route::get("/installs", VIEWER, "Installs", installs::list).lists::<Install>(&installs::FILTERS),
        Route::get("/installs/{id}", VIEWER, "An install, judged and explained now", installs::show)
            .shows::<Install>(),
        Route::post("/installs/{id}/approve", OPERATOR, "Let a pending install work", installs::approve)
            .acts::<Install>(),
        Route::post("/installs/{id}/suspend", OPERATOR, "Suspend an install", installs::suspend)
            .acts::<Install>(),
        Route::post("/installs/{id}/resume", OPERATOR, "End a suspension", installs::resume)
            .acts::<Install>(),
        Route::post("/installs/{id}/revoke", OPERATOR, "Revoke an install for good", installs::revoke)
            .acts::<Install>(),
        Route::post("/installs/{id}/reset", OPERATOR, "Have an agent activate again", installs::reset)
            .acts::<Install>(),
        Route::post("/installs/{id}/rebind", OPERATOR, "Bind another fingerprint", installs::rebind)
            .may_read::<Rebinding>()
            .acts::<Install>(),
        Route::post(
            "/licenses/{id}/installs/approve",
            OPERATOR,
            "Let a license's pending installs work",
            installs::approve_all,
        )
        .may_read::<ChosenInstalls>()
        .tells::<ChangedInstalls>(),
        Route::post(
            "/licenses/{id}/installs/suspend",
            OPERATOR,
            "Suspend a license's installs",
            installs::suspend_all,
        )
        .may_read::<ChosenInstalls>()
        .tells::<ChangedInstalls>(),
        Route::post(
            "/licenses/{id}/installs/resume",
            OPERATOR,
            "End the suspensions of a license's installs",
            installs::resume_all,
        )
        .may_read::<ChosenInstalls>()
        .tells::<ChangedInstalls>(),
        Route::post(
            "/licenses/{id}/installs/revoke",
            OPERATOR,
            "Revoke a license's installs for good",
            installs::revoke_all,
        )
        .may_read::<ChosenInstalls>()
        .tells::<ChangedInstalls>(),
        Route::post(
            "/licenses/{id}/installs/reset",
            OPERATOR,
            "Have a license's agents activate again",
            installs::reset_all,
        )
        .may_read::<ChosenInstalls>()
        .tells::<ChangedInstalls>(),
        Route::get("/installs/{id}/heartbeats", VIEWER, "An install's contacts", heartbeats::of_install)
            .lists::<Heartbeat>(&heartbeats::OF_INSTALL)
            .or_as_table(),
        Route::get("/heartbeats", VIEWER, "Contacts, the newest first", heartbeats::list)
            .lists::<Heartbeat>(&heartbeats::FILTERS)
            .or_as_table(),
    ]
}

fn profile_routes() -> Vec<Route> {
    vec![
        Route::get("/profiles", VIEWER, "Profiles, by name", profiles::list).lists::<Profile>(&[]),
        Route::post("/profiles", OPERATOR, "Make a profile", profiles::create).makes::<NewProfile, Profile>(),
        Route::get("/profiles/{id}", VIEWER, "A profile", profiles::show).shows::<Profile>(),
        Route::get("/profiles/{id}/versions", VIEWER, "Its versions, the newest first", profiles::versions)
            .lists::<ProfileVersion>(&[]),
        Route::post("/profiles/{id}/versions", OPERATOR, "Draft the next version", profiles::draft)
            .makes_part::<NewVersion, ProfileVersion>(),
        Route::post(
            "/profiles/{id}/versions/{n}/dry-run",
            OPERATOR,
            "Tell what publishing a version would change, and change nothing",
            profiles::dry_run,
        )
        .takes(&profiles::PART)
        .may_read::<DryRunRequest>()
        .tells::<DryRun>(),
        Route::post(
            "/profiles/{id}/versions/{n}/publish",
            OPERATOR,
            "Have a version judge all, or some installs in a hundred",
            profiles::publish,
        )
        .may_read::<Publication>()
        .acts::<Profile>(),
        Route::post(
            "/profiles/{id}/rollback",
            OPERATOR,
            "Have the version before judge",
            profiles::roll_back,
        )
        .acts::<Profile>(),
    ]
}

fn lease_routes() -> Vec<Route> {
    vec![
        Route::get("/leases", VIEWER, "Offline leases", leases::list).lists::<Lease>(&leases::FILTERS),
        Route::post("/leases/{id}/revoke", OPERATOR, "Revoke a lease", leases::revoke).acts::<Lease>(),
        Route::post(
            "/leases/offline-requests",
            OPERATOR,
            "Answer the request file of a machine that is never online",
            leases::answer,
        )
        .reads::<OfflineRequestFile>()
        .tells::<OfflineAnswer>(),
        Route::get("/signing-keys", VIEWER, "What signs, and who knows of it", signing_keys::list)
            .paged()
            .tells::<SigningKeys>(),
        Route::post("/signing-keys/rotate", OWNER, "Move signing keys on", signing_keys::rotate)
            .may_read::<KeyRotation>()
            .tells::<SigningKeys>(),
        Route::post("/signing-keys/{kid}/taint", OWNER, "Trust a key no more", signing_keys::taint)
            .tells::<SigningKeys>(),
    ]
}

fn webhook_routes() -> Vec<Route> {
    vec![
        Route::get("/webhooks", OWNER, "Who is told of changes", webhooks::list).lists::<Webhook>(&[]),
        Route::post("/webhooks", OWNER, "Have somebody told of changes", webhooks::create)
            .makes::<NewWebhook, CreatedWebhook>(),
        Route::delete("/webhooks/{id}", OWNER, "Have somebody told no more", webhooks::remove).removes(),
        Route::get(
            "/webhooks/{id}/deliveries",
            OWNER,
            "What was told and what became of it, the newest first",
            webhooks::deliveries,
        )
        .lists::<Delivery>(&webhooks::DELIVERIES),
        Route::post("/webhooks/{id}/ping", OWNER, "Try a webhook out", webhooks::ping)
            .answers_with::<Delivery>(StatusCode::ACCEPTED, false),
        Route::post(
            "/webhooks/{id}/deliveries/{delivery_id}/resend",
            OWNER,
            "Send a delivery again",
            webhooks::resend,
        )
        .answers_with::<Delivery>(StatusCode::ACCEPTED, false),
    ]
}

/// Who did what.
fn log_routes() -> Vec<Route> {
    vec![
        Route::get("/audit", VIEWER, "What was changed, by whom, the newest first", audit::list)
            .lists::<AuditRow>(&audit::FILTERS),
        Route::get("/audit/verify", VIEWER, "Walk the audit log's chain of hashes", audit::verify)
            .tells::<ChainCheck>(),
    ]
}
