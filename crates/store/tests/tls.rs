//! TLS to PostgreSQL: whose certificate is believed, and how it is said that one isn't.

#![allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use cluster::{Cluster, Options};
use keyring::RdsTokens;
use protocol::ambient::ManualClock;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use store::testing::TestDatabase;
use store::{Database, Error};
use tempfile::{Builder, TempDir};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A PostgreSQL that speaks TLS, as `localhost`, by a certificate of the authority's.
fn server(folder: &Path, authority: &Authority) -> Cluster {
    let data = folder.join("cluster");
    let (certificate, key) = (data.join("server.crt"), data.join("server.key"));
    let options = Options::throwaway()
        .set("ssl", "on")
        .set("ssl_cert_file", certificate.to_str().unwrap())
        .set("ssl_key_file", key.to_str().unwrap());
    let mut cluster = Cluster::create_or_open(&data, options).unwrap();
    let own_key = KeyPair::generate().unwrap();
    let signed =
        CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&own_key, authority).unwrap();
    fs::write(&certificate, signed.pem()).unwrap();
    fs::write(&key, own_key.serialize_pem()).unwrap();
    let owner = fs::metadata(&data).unwrap();
    for file in [&certificate, &key] {
        fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
        chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    cluster.start().unwrap();
    cluster
}

/// What comes of connecting to the server as `host`.
async fn connected(cluster: &Cluster, host: &str, query: &str) -> Result<(), Error> {
    let url = cluster.url("postgres").replace("127.0.0.1", host);
    Database::new(&format!("{url}?{query}"), 1)?.ping().await
}

#[tokio::test]
async fn the_right_authority_and_the_right_name_are_believed_and_nothing_else() {
    // PostgreSQL runs as an account of its own, which has to get in.
    let folder: TempDir = Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let (right, wrong) = (authority("right"), authority("wrong"));
    let cluster = server(folder.path(), &right);
    let roots = |name: &str, authority: &Authority| {
        let file = folder.path().join(name);
        fs::write(&file, authority.pem()).unwrap();
        file.display().to_string()
    };
    let (right, wrong) = (roots("right.pem", &right), roots("wrong.pem", &wrong));
    for mode in ["require", "verify-ca", "verify-full"] {
        connected(&cluster, "localhost", &format!("sslmode={mode}&sslrootcert={right}")).await.unwrap();
        for (host, query, said) in [
            ("localhost", format!("sslmode={mode}&sslrootcert={wrong}"), "no authority"),
            ("127.0.0.1", format!("sslmode={mode}&sslrootcert={right}"), "another name"),
            // The system's roots don't have it.
            ("localhost", format!("sslmode={mode}"), "sslrootcert=FILE"),
        ] {
            let error = connected(&cluster, host, &query).await.unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("QT_DATABASE_URL: ") && text.contains(said), "{host} {query}: {text}");
            assert!(!error.is_transient(), "asking again changes nothing");
        }
    }
    connected(&cluster, "localhost", "sslmode=disable").await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    let mut cluster = Cluster::temporary(Options::throwaway()).unwrap();
    cluster.start().unwrap();
    let error = connected(&cluster, "127.0.0.1", "sslmode=require").await.unwrap_err();
    let cause = std::error::Error::source(&error).and_then(std::error::Error::source).unwrap();
    assert!(format!("{error}: {cause}").to_lowercase().contains("tls"), "{error}: {cause}");
}

#[tokio::test]
async fn each_connection_has_a_token_of_its_own_time_as_its_password() {
    let folder: TempDir = Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let authority = authority("right");
    let cluster = server(folder.path(), &authority);
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, authority.pem()).unwrap();
    let clock = ManualClock::at(1_790_000_000);
    let credentials = Credentials::new("AKIDEXAMPLE", "geheim", Some("session".to_owned()), None, "test");
    let sdk = aws_config::ConfigLoader::default()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-central-1"))
        .credentials_provider(credentials);
    let tokens = RdsTokens::over(sdk, Arc::new(clock.clone())).await.unwrap();
    let url = |user: &str, query: &str| {
        format!(
            "postgres://{user}@localhost:{}/postgres?sslrootcert={}{query}",
            cluster.port(),
            roots.display()
        )
    };
    // PostgreSQL knows no tokens: here it knows a password, which is the token of that second.
    let token = tokens.token("localhost", cluster.port(), "qt").await.unwrap();
    let operator = TestDatabase::at(cluster.url("postgres"), 0);
    operator.run(&format!("CREATE ROLE qt LOGIN PASSWORD '{}'", *token)).await;
    let connect = || Database::by_tokens(&url("qt", ""), 1, tokens.clone()).unwrap();
    connect().ping().await.unwrap();
    clock.advance(1);
    let error = connect().ping().await.unwrap_err();
    assert!(format!("{error:?}").contains("password authentication failed"), "{error:?}");

    for (user, query, said) in
        [("qt:geheim", "", "password"), ("qt", "&sslmode=disable", "TLS"), ("", "", "user")]
    {
        let error = Database::by_tokens(&url(user, query), 1, tokens.clone()).err().unwrap().to_string();
        assert!(error.starts_with("QT_DATABASE_URL: ") && error.contains(said), "{error}");
        assert!(!error.contains("geheim"), "{error}");
    }
}
