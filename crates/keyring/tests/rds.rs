//! Tokens for RDS, against those that Python's botocore makes of the same.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use keyring::RdsTokens;
use protocol::ambient::ManualClock;

const HOST: &str = "db.abc123.eu-central-1.rds.amazonaws.com";

async fn tokens(session: Option<&str>, clock: &ManualClock) -> RdsTokens {
    let (id, key) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    let credentials = Credentials::new(id, key, session.map(str::to_owned), None, "test");
    let sdk = aws_config::ConfigLoader::default()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-central-1"))
        .credentials_provider(credentials);
    RdsTokens::over(sdk, Arc::new(clock.clone())).await.unwrap()
}

#[tokio::test]
async fn a_token_is_the_one_that_botocore_makes() {
    let clock = ManualClock::at(1_790_000_000);
    let common = "db.abc123.eu-central-1.rds.amazonaws.com:5432/?Action=connect&DBUser=qubic%20tether%2B%C3%BC\
                  &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260921%2Feu-central-1%2Frds-db%2F\
                  aws4_request&X-Amz-Date=20260921T141320Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host";
    for (session, rest) in [
        (None, "&X-Amz-Signature=a4059aef5252799a168ef938e285e6f41cea08a908409f6d3f2cdd2d5ff7f3d0"),
        (
            Some("session/token+=="),
            "&X-Amz-Security-Token=session%2Ftoken%2B%3D%3D\
             &X-Amz-Signature=c8ed6a6edf14fd1526475c03d10eb1799954fe28f2131a87c3dfec75fad2a8fe",
        ),
    ] {
        let token = tokens(session, &clock).await.token(HOST, 5432, "qubic tether+ü").await.unwrap();
        let sorted = |text: &str| {
            let mut parts: Vec<_> = text.split('&').map(str::to_owned).collect();
            parts.sort();
            parts
        };
        assert_eq!(sorted(&token), sorted(&format!("{common}{rest}")));
    }
}

#[tokio::test]
async fn each_time_has_its_own_token_and_none_is_shown() {
    let clock = ManualClock::at(1_790_000_000);
    let tokens = tokens(None, &clock).await;
    let first = tokens.token(HOST, 5432, "qt").await.unwrap();
    clock.advance(1);
    assert_ne!(*first, *tokens.token(HOST, 5432, "qt").await.unwrap());
    assert!(!format!("{tokens:?}").contains("EXAMPLE"));
}
