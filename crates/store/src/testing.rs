//! Databases for tests: each its own, cloned from a template that is migrated and has its keys.

use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use keyring::{LocalProvider, Place};
use protocol::ambient::{ManualClock, OsRandom, SeededRandom, array};
use protocol::secrets::Secrets;
use protocol::{InstallId, LicenseId, LicenseKey, Secret};
use tokio_postgres::{NoTls, SimpleQueryMessage};
use uuid::Uuid;

use crate::contact::secrets_place;
use crate::{Actor, Database, KeysetTerms, Recording, Store, migrate};

/// The time at which every test begins, Unix seconds.
pub const START: i64 = 1_790_000_123;

/// The issuer of what a test database's keys sign.
pub const ISSUER: &str = "http://127.0.0.1:8080";

/// The key-encryption key of every test database.
pub const KEK: [u8; 32] = [7; 32];

/// The variable that names a server on which databases may be made.
const SERVER: &str = "QT_TEST_DATABASE_URL";

/// A database of a test's own, and what it was opened with. It goes when this does.
pub struct TestDatabase {
    /// Where it is.
    pub url: String,
    /// The time that the store sees.
    pub clock: ManualClock,
    _made: Option<Made>,
}

impl TestDatabase {
    /// Clones the template.
    ///
    /// # Panics
    /// When there is no server to make it on.
    pub async fn new() -> Self {
        let server = server();
        let admin = connect(&server).await;
        let template = template(&admin, &server).await;
        let made = Made::fresh();
        run(&admin, &format!("CREATE DATABASE {} TEMPLATE {template}", made.name)).await;
        let url = with_database(&server, &made.name);
        Self { _made: Some(made), ..Self::at(url, START) }
    }

    /// One in which there is nothing.
    ///
    /// # Panics
    /// When there is no server to make it on.
    pub async fn empty() -> Self {
        let (server, made) = (server(), Made::fresh());
        run(&connect(&server).await, &format!("CREATE DATABASE {}", made.name)).await;
        let url = with_database(&server, &made.name);
        Self { _made: Some(made), ..Self::at(url, 0) }
    }

    /// One that somebody else has made, and sees to.
    pub fn at(url: String, now: i64) -> Self {
        Self { url, clock: ManualClock::at(now), _made: None }
    }

    /// A pool over it.
    ///
    /// # Panics
    /// When the URL can't be read.
    pub fn database(&self) -> Database {
        Database::new(&self.url, 8).expect("the test server's URL is right")
    }

    /// A store over it, with the test's clock and a random generator that repeats itself by `seed`.
    ///
    /// # Panics
    /// When its keys don't open.
    pub async fn store(&self, seed: u64) -> Store {
        let random = Arc::new(SeededRandom::new(seed));
        Store::open(self.database(), Arc::new(provider()), Arc::new(self.clock.clone()), random)
            .await
            .expect("the keys open")
    }
}

/// A database that was made for a test, and goes with it, however that ends.
struct Made {
    name: String,
}

impl Made {
    fn fresh() -> Self {
        // Names have to differ between processes that run at once.
        Self { name: format!("qt_test_{}", Uuid::from_bytes(array(&OsRandom)).simple()) }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        static DROPPING: OnceLock<SyncSender<String>> = OnceLock::new();
        let dropping = DROPPING.get_or_init(|| {
            let (sender, names) = sync_channel(0);
            std::thread::spawn(move || drop_databases(&names));
            sender
        });
        // It is taken when the one before is gone, so that at most the last one is left when the process ends.
        let _ = dropping.send(std::mem::take(&mut self.name));
    }
}

/// Drops databases, whoever is connected to them still. One that can't be goes with the server.
fn drop_databases(names: &Receiver<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    for name in names {
        runtime.block_on(async {
            if let Ok((client, connection)) = tokio_postgres::connect(&server(), NoTls).await {
                tokio::spawn(connection);
                let _ = client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
            }
        });
    }
}

/// The server on which databases may be made.
fn server() -> String {
    std::env::var(SERVER)
        .unwrap_or_else(|_| panic!("{SERVER} is not set: run the tests by `cargo xtask test`"))
}

fn provider() -> LocalProvider {
    LocalProvider::from_key(KEK, Arc::new(SeededRandom::new(0)))
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    client
}

async fn run(client: &tokio_postgres::Client, statement: &str) {
    client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}

/// The name of the migrated template, made by whichever test comes first.
async fn template(admin: &tokio_postgres::Client, server: &str) -> String {
    let name = format!("qt_template_{}", migrate::fingerprint());
    run(admin, "SELECT pg_advisory_lock(7163127404529)").await;
    let found =
        admin.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await.expect("a catalogue");
    if found.is_empty() {
        let draft = format!("{name}_draft");
        run(admin, &format!("DROP DATABASE IF EXISTS {draft}")).await;
        run(admin, &format!("CREATE DATABASE {draft}")).await;
        let database =
            Database::new(&with_database(server, &draft), 1).expect("the test server's URL is right");
        database.migrate().await.expect("the migrations apply");
        database.make_partitions(START).await.expect("partitions can be made");
        let terms = KeysetTerms { issuer: ISSUER, life: 2_592_000 };
        let clock = ManualClock::at(START);
        database
            .init_keys(&provider(), &clock, &SeededRandom::new(u64::MAX), terms)
            .await
            .expect("keys can be made");
        database.close();
        run(admin, &format!("ALTER DATABASE {draft} RENAME TO {name}")).await;
    }
    run(admin, "SELECT pg_advisory_unlock(7163127404529)").await;
    name
}

/// The server's URL with another database.
fn with_database(server: &str, name: &str) -> String {
    let (before, query) =
        server.split_once('?').map_or((server, String::new()), |(url, q)| (url, format!("?{q}")));
    let base = before.rsplit_once('/').map_or(before, |(base, _)| base);
    format!("{base}/{name}{query}")
}

/// What a change at an instant is recorded by.
pub fn recording(at: i64) -> Recording<'static> {
    Recording { actor: Actor::command_line(), at, random: &OsRandom }
}

/// How many installs are made by one statement.
const AT_ONCE: usize = 1000;

impl Store {
    /// Makes installs of a license without asking anybody, each with a secret; they were activated at `now`.
    ///
    /// # Panics
    /// When the database refuses them.
    pub async fn make_installs(&self, license: LicenseId, count: usize, now: i64) -> Vec<InstallId> {
        let client = self.client().await.expect("the database answers");
        let mut made = Vec::with_capacity(count);
        while made.len() < count {
            let ids: Vec<Uuid> = (made.len()..count).take(AT_ONCE).map(|_| self.new_id()).collect();
            let keyring = self.sealing(&**client, ids.len()).await.expect("seals can be reserved");
            let seal = |id: &Uuid| {
                let secrets = Secrets::fresh(Secret::random(self.random())).to_bytes();
                let place = secrets_place(InstallId::from_uuid(*id));
                keyring.seal(place, &secrets, self.random()).expect("seals were reserved")
            };
            let sealed: Vec<Vec<u8>> = ids.iter().map(seal).collect();
            let insert = "INSERT INTO installs (id, license_id, activated_at, activation_at, last_contact, awaiting_approval,
                                                bound, activation_nonce, observed, instance_id, agent_version,
                                                agent_platform, holds_seat, high, accepted_window, recent_nonces,
                                                rate_arrival, secrets)
                          SELECT g.id, $1, t, t, t, false, b, '', b, '', '1', 'x', true, 0, decode(repeat('00', 32), 'hex'),
                                 '', 0, g.secrets
                          FROM unnest($3::uuid[], $4::bytea[]) AS g(id, secrets),
                               (SELECT to_timestamp($2::bigint) AS t, 'mac=' || repeat('A', 43) AS b) x";
            client
                .execute(insert, &[license.as_uuid(), &now, &ids, &sealed])
                .await
                .expect("the installs are taken");
            made.extend(ids.into_iter().map(InstallId::from_uuid));
        }
        made
    }
}

/// A license for a test to activate.
pub struct TestLicense {
    /// Its id.
    pub id: LicenseId,
    /// Its key.
    pub key: LicenseKey,
}

impl TestDatabase {
    /// Publishes a profile with these knobs and makes a license under it. `seed` tells a test's licenses apart.
    ///
    /// # Panics
    /// When the knobs are refused, or the database is.
    pub async fn license(&self, seed: u64, knobs: &str, max_installs: i32) -> TestLicense {
        policy::Knobs::parse(knobs).expect("the test's knobs are right");
        let store = self.store(1000 + seed).await;
        let (profile, id) = (store.new_id(), store.new_id());
        let key = LicenseKey::generate(array(store.random()));
        let place = Place { table: "licenses", column: "key_sealed", row: *id.as_bytes() };
        let client = connect(&self.url).await;
        let keyring = store.sealing(&client, 1).await.expect("seals can be reserved");
        let sealed =
            keyring.seal(place, key.canonical().as_bytes(), store.random()).expect("a key can be sealed");
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
        };
        run(
            &client,
            &format!(
                "BEGIN;
                 INSERT INTO profiles (id, name, active_number, created_at, updated_at)
                 VALUES ('{profile}', 'test-{seed}', 1, to_timestamp({START}), to_timestamp({START}));
                 INSERT INTO profile_versions (profile_id, number, knobs, created_at, published_at)
                 VALUES ('{profile}', 1, '{knobs}', to_timestamp({START}), to_timestamp({START}));
                 INSERT INTO licenses (id, product, customer, profile_id, key_lookup, key_sealed, max_installs,
                                       starts_at, entitlements, metadata, created_at, updated_at, key_digest,
                                       lookup_version)
                 VALUES ('{id}', 'acme-render', 'Example', '{profile}', '\\x{}', '\\x{}', {max_installs},
                         to_timestamp({START} - 86400), '{{\"edition\":\"pro\"}}', '{{}}', to_timestamp({START}),
                         to_timestamp({START}), '\\x{}', {});
                 COMMIT",
                hex(&keyring.lookup(key.canonical())),
                hex(&sealed),
                hex(protocol::offline::KeyDigest::of(&key).as_bytes()),
                keyring.lookup_version(),
            ),
        )
        .await;
        TestLicense { id: LicenseId::from_uuid(id), key }
    }

    /// Runs a statement of the test's own.
    ///
    /// # Panics
    /// When the database refuses it.
    pub async fn run(&self, statement: &str) {
        run(&connect(&self.url).await, statement).await;
    }

    /// Runs `during` while a transaction of the test's own that began with `statement` holds what it locked.
    ///
    /// # Panics
    /// When the database refuses the statement.
    pub async fn holding<T>(&self, statement: &str, during: impl Future<Output = T>) -> T {
        let client = connect(&self.url).await;
        run(&client, &format!("BEGIN; {statement}")).await;
        let done = during.await;
        run(&client, "ROLLBACK").await;
        done
    }

    /// Why the database refuses a statement of the test's own.
    ///
    /// # Panics
    /// When it doesn't.
    pub async fn refusal(&self, statement: &str) -> String {
        let refused = connect(&self.url).await.batch_execute(statement).await.err();
        let refused = refused.unwrap_or_else(|| panic!("{statement}: it isn't refused"));
        refused.as_db_error().map_or_else(|| refused.to_string(), |error| error.message().to_owned())
    }

    /// One value that a statement of the test's own finds, as text.
    ///
    /// # Panics
    /// When it finds none.
    pub async fn value(&self, statement: &str) -> String {
        let found = self.lines(statement).await;
        found.first().unwrap_or_else(|| panic!("{statement}: no row")).clone()
    }

    /// The first column of whatever statements of the test's own find, as text.
    ///
    /// # Panics
    /// When the database refuses one.
    pub async fn lines(&self, statements: &str) -> Vec<String> {
        let found = connect(&self.url).await.simple_query(statements).await;
        let found = found.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
        let line = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        found.iter().filter_map(line).collect()
    }
}
