#![doc = include_str!("../README.md")]
#![allow(clippy::missing_panics_doc, reason = "what is expected here can't fail, and each place says why")]

mod explore;
mod install;
mod known;
mod machine;
mod model;
mod pool;
mod promise;
mod scope;
mod seen;
mod server;
mod step;
mod trace;
mod wire;
mod world;

pub use explore::{Found, explore};
pub use promise::Promise;
pub use scope::{Broken, Scope};
pub use seen::Situation;
