//! The policy engine: facts and an enforcement profile in, a decision and its ladder out.
//!
//! [`evaluate`] judges an instant; [`ladder`] tells the later instants at which that judgement changes if nothing more
//! is heard; [`trace`] tells why. All are pure and total: no clock, no I/O, no randomness, no panic, whatever they are given. The rules,
//! the knobs and the JSON stand in `docs/policy.md`.
//!
//! Instants are Unix seconds and durations seconds, both `i64`; sums saturate.

mod decision;
mod engine;
mod facts;
mod fault;
mod fingerprint;
pub mod json;
mod knobs;
mod members;
mod named;
mod profile;
mod trace;
mod version;

pub use decision::{Decision, Reason, Rule, Rung, State};
pub use engine::{evaluate, ladder};
pub use facts::Facts;
pub use fault::Fault;
pub use fingerprint::{Compared, Comparison, Fingerprint, Score, compare, score};
pub use knobs::{Knobs, RequireApproval};
pub use named::Unknown;
pub use profile::{Cadence, CloneAction, MinMatch, Pace, Profile};
pub use trace::{Telling, Traced, trace};
pub use version::is_semver;
