//! The admin function: everything that an operator does.
//!
//! A use case is a function that takes the [`Operator`] who wants it; the command line and the HTTP API call the same
//! ones. Whatever changes something writes a row of the admin audit log in the same transaction. What they answer
//! serializes as the API answers it.

pub mod api_key;
pub mod audit;
pub mod bulk;
pub mod dry_run;
mod error;
mod explained;
pub mod heartbeat;
pub mod hold;
mod http;
pub mod import;
pub mod install;
pub mod lease;
pub mod license;
pub mod offline;
mod operator;
pub mod overview;
pub mod password;
pub mod profile;
mod remedy;
mod session;
pub mod signing_key;
mod token;
mod totp;
pub mod upkeep;
pub mod user;
pub mod webhook;
pub mod wrapped_key;

pub use error::Error;
pub use http::{document, router};
pub use operator::{Expected, Operator};
