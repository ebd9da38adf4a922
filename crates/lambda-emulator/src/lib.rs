//! Lambda's runtime interface and function URLs on loopback, for tests and measurements.
//!
//! It starts the very binaries that are deployed, as Lambda starts them: a process asks for an event, answers it, and
//! asks for the next. What it doesn't have is what AWS has around that: nothing is frozen, bounded, authenticated or
//! started again.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! let mut heartbeat = tokio::process::Command::new("target/debug/heartbeat");
//! heartbeat.env("QT_DATABASE_URL", "postgres://localhost/qt").env("QT_KEK_FILE", "/etc/qt.kek");
//! let function = lambda_emulator::Function::start("heartbeat", [heartbeat]).await?;
//! let url = lambda_emulator::Url::open(&[("", &function)]).await?;
//! println!("http://{}/v1/heartbeat", url.address());
//! # Ok(())
//! # }
//! ```

mod event;
mod function;
mod queue;
mod runtime;
mod server;
mod url;

pub use event::event;
pub use function::{Failure, Function, put_in_lambda};
pub use url::Url;
