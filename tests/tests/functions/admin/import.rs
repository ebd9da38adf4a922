//! Licenses and machines that another server had.

use ::admin::Operator;
use ::admin::import::{self, ImportedLicense};
use edge::testing::TestMachine;
use protocol::LicenseKey;
use protocol::admin::{NewLicense, Time};
use store::KnownMachine;

use crate::World;

/// A license with one seat, which the first machine holds.
async fn wanted(world: &World) -> ImportedLicense {
    let profile_id = world.database.value("SELECT id FROM profiles").await.parse().unwrap();
    let empty = || serde_json::value::RawValue::from_string("{}".to_owned()).unwrap();
    let license = NewLicense {
        product: "acme.vault".parse().unwrap(),
        customer: "Example Ltd".to_owned(),
        profile_id,
        max_installs: 1,
        starts_at: None,
        expires_at: None,
        entitlements: empty(),
        lease_max_seconds: None,
        metadata: empty(),
    };
    let machine = KnownMachine {
        fingerprint: TestMachine::new(1).fingerprint,
        name: Some("build-7".to_owned()),
        platform: "linux".to_owned(),
        activated_at: world.server.edge.store.clock().unix_seconds() - 1000,
    };
    let source_id = "b18f3e6c".to_owned();
    ImportedLicense { source: "keygen", source_id, license, is_suspended: false, machines: vec![machine] }
}

#[tokio::test]
async fn a_machine_that_another_server_knew_activates_into_its_seat_and_no_other_takes_it() {
    let world = World::new().await;
    let operator = Operator::at_the_command_line(&world.server.edge.store);
    let wanted = wanted(&world).await;
    let made = import::license(&operator, &wanted).await.unwrap().unwrap();
    let key = LicenseKey::parse(&made.license_key).unwrap();
    let install = world.database.value("SELECT id FROM installs").await;

    let other = TestMachine::new(2).activate(&world.server, &key).await;
    assert_eq!(other.err().map(|answer| answer.word()), Some("409 seats_exhausted".to_owned()));
    let mut agent = TestMachine::new(1).activate(&world.server, &key).await.ok().unwrap();
    assert_eq!(agent.install.to_string(), install);
    assert_eq!(agent.beat(&world.server).await.word(), "200 authorized");
    // It counts no reactivation.
    assert_eq!(world.database.value("SELECT cardinality(reactivations) FROM installs").await, "0");

    let viewer = world.script(protocol::admin::Role::Viewer).await;
    let row = &viewer.get("/audit?action=license.import").await.json()["items"][0];
    assert_eq!(row["after"]["source_id"], "b18f3e6c");
    assert_eq!(row["after"]["installs"][0], install);
    assert!(!row.to_string().contains(&made.license_key));
}

#[tokio::test]
async fn what_was_brought_before_is_left_as_it_is() {
    let world = World::new().await;
    let operator = Operator::at_the_command_line(&world.server.edge.store);
    let wanted = wanted(&world).await;
    assert!(import::license(&operator, &wanted).await.unwrap().is_some());
    assert!(import::license(&operator, &wanted).await.unwrap().is_none());
    assert_eq!(world.database.value("SELECT count(*) FROM installs").await, "1");
    assert_eq!(world.database.value("SELECT count(*) FROM imports").await, "1");
    let rows = "SELECT count(*) FROM admin_audit WHERE action = 'license.import'";
    assert_eq!(world.database.value(rows).await, "1");
}

#[tokio::test]
async fn terms_that_no_license_may_have_are_refused_and_leave_nothing() {
    let world = World::new().await;
    let operator = Operator::at_the_command_line(&world.server.edge.store);
    let mut wanted = wanted(&world).await;
    let now = Time(world.server.edge.now());
    (wanted.license.starts_at, wanted.license.expires_at) = (Some(now), Some(now));
    let refused = import::license(&operator, &wanted).await.err().unwrap();
    assert!(refused.to_string().contains("/expires_at"), "{refused}");
    assert_eq!(world.database.value("SELECT count(*) FROM installs").await, "0");
    assert_eq!(world.database.value("SELECT count(*) FROM imports").await, "0");
}
