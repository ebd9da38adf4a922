#![doc = include_str!("../README.md")]

pub mod activation;
mod agent;
pub mod clock;
pub mod core;
mod error;
pub mod exchange;
pub mod fingerprint;
mod folder;
mod http;
pub mod ladder;
mod leases;
pub mod platform;
mod refusal;
mod run;
pub mod schedule;
pub mod settings;
mod socket;
pub mod status;
pub mod timekeeping;
pub mod transport;
pub mod trust;
mod view;

pub use agent::{Agent, Builder};
pub use error::Error;
pub use http::HttpTransport;
pub use policy::{Rung, State};
pub use protocol::{LicenseKey, claims::ReasonCode};
pub use refusal::Refusal;
pub use settings::{ServerUrl, Settings};
pub use status::Status;
