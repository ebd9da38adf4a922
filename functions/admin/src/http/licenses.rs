//! `/licenses`: the commercial terms.

use axum::response::Response;
use edge::{Refusal, answer};
use http::StatusCode;
use protocol::admin::{LicenseChange, LicenseStatus, NewLicense};
use store::LicenseFilter;

use super::call::{self, Call};
use super::route::{Kind, Parameter};
use crate::license;

pub(super) const FILTERS: [Parameter; 5] = [
    Parameter { name: "product", kind: Kind::Text, about: "Only those for this product" },
    Parameter { name: "customer", kind: Kind::Text, about: "Only this customer's" },
    Parameter {
        name: "status",
        kind: Kind::Word(|| LicenseStatus::ALL.map(LicenseStatus::as_str).to_vec()),
        about: "Only those that are this",
    },
    Parameter { name: "profile_id", kind: Kind::Id, about: "Only those that this profile judges" },
    Parameter {
        name: "q",
        kind: Kind::Text,
        about: "Only those in whose customer or product all these words, or their beginnings, stand",
    },
];

pub(super) async fn list(call: Call) -> Result<Response, Refusal> {
    let query = &call.query;
    let filter = LicenseFilter {
        product: query.parsed("product", "a product code"),
        customer: query.short_text("customer"),
        status: query.parsed("status", "active, suspended or revoked"),
        profile_id: query.parsed("profile_id", "a UUID"),
        words: query.words("q"),
    };
    let asked = query.page();
    query.finish()?;
    let licenses = license::list(&call.edge.store, &filter, asked.after, asked.limit + 1).await?;
    Ok(Call::page(&asked, licenses, |license| license.id))
}

pub(super) async fn create(call: Call) -> Result<Response, Refusal> {
    let created = license::create(&call.operator()?, call.body(NewLicense::read)?).await?;
    Ok(call::resource(StatusCode::CREATED, &created))
}

pub(super) async fn show(call: Call) -> Result<Response, Refusal> {
    Ok(call::resource(StatusCode::OK, &license::show(&call.edge.store, call.id()?).await?))
}

pub(super) async fn change(call: Call) -> Result<Response, Refusal> {
    let (id, expected) = (call.id()?, call.expected()?);
    let wanted = call.body(LicenseChange::read)?;
    Ok(call::resource(StatusCode::OK, &license::change(&call.operator()?, id, &expected, wanted).await?))
}

pub(super) async fn suspend(call: Call) -> Result<Response, Refusal> {
    let license = license::suspend(&call.operator()?, call.id()?, &call.expected()?).await?;
    Ok(call::resource(StatusCode::OK, &license))
}

pub(super) async fn resume(call: Call) -> Result<Response, Refusal> {
    let license = license::resume(&call.operator()?, call.id()?, &call.expected()?).await?;
    Ok(call::resource(StatusCode::OK, &license))
}

pub(super) async fn revoke(call: Call) -> Result<Response, Refusal> {
    let license = license::revoke(&call.operator()?, call.id()?, &call.expected()?).await?;
    Ok(call::resource(StatusCode::OK, &license))
}

pub(super) async fn reveal_key(call: Call) -> Result<Response, Refusal> {
    Ok(answer::json(StatusCode::OK, &license::reveal_key(&call.operator()?, call.id()?).await?))
}

pub(super) async fn rotate_key(call: Call) -> Result<Response, Refusal> {
    let license = license::rotate_key(&call.operator()?, call.id()?, &call.expected()?).await?;
    Ok(call::resource(StatusCode::OK, &license))
}
