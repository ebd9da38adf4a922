//! The admin function as a Lambda binary.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let scheduled = |edge| -> edge::lambda::Doing { Box::pin(admin::upkeep::scheduled(edge)) };
    edge::lambda::run_on_schedule(|name| std::env::var(name).ok(), admin::router, scheduled).await
}
