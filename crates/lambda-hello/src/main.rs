//! The least that a Lambda function behind a URL can be: what the functions' cold start is compared with.

use std::convert::Infallible;

use lambda_http::{Error, Request, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(|_: Request| async { Ok::<_, Infallible>("hello") })).await
}
