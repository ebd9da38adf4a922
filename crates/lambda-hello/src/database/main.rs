//! The least that a Lambda function over a database can be: it connects, runs the statements that it is given, and then
//! says hello. What a function takes to start beyond this is its own.

use std::convert::Infallible;
use std::env;

use lambda_http::{Error, Request, run, service_fn};
use tokio_postgres::NoTls;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (client, connection) = tokio_postgres::connect(&env::var("QT_DATABASE_URL")?, NoTls).await?;
    tokio::spawn(connection);
    client.simple_query(&env::var("HELLO_STATEMENTS")?).await?;
    run(service_fn(|_: Request| async { Ok::<_, Infallible>("hello") })).await
}
