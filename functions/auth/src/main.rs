//! The auth function as a Lambda binary.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    edge::lambda::run(|name| std::env::var(name).ok(), auth::router).await
}
