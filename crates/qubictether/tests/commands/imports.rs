//! `import keygen`.

use std::collections::HashMap;
use std::path::PathBuf;

use protocol::ambient::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::Site;

/// What Keygen's API lists of one product: four licenses, as its pages hold them.
fn export() -> Value {
    json!([
        { "data": [
            license("l1", &json!({ "name": "Team", "expiry": "2099-01-02T03:04:05.678Z", "maxMachines": 2,
                "created": "2024-05-06T07:08:09.000Z", "metadata": { "order": 17 } })),
            license("l2", &json!({ "name": "Old one", "suspended": true, "created": "2023-01-01T00:00:00Z", "maxCores": 8 })),
          ],
          "links": { "self": "/v1/accounts/acme/licenses", "next": null } },
        { "data": [
            machine("m1", "l1", "AA:BB", "2024-06-01T00:00:00Z"),
            machine("m2", "l1", "CC:DD", "2024-06-02T00:00:00Z"),
            machine("m3", "l1", "EE:FF", "2024-06-03T00:00:00Z"),
        ] },
        { "data": [
            { "type": "products", "id": "p", "attributes": { "name": "Acme Render", "code": "acme-render" } },
            { "type": "policies", "id": "pol", "attributes": { "name": "floating", "maxMachines": null } },
            { "type": "users", "id": "u", "attributes": { "email": "it@example.com", "fullName": "Example Ltd" } },
            { "type": "entitlements", "id": "e", "attributes": { "name": "Export", "code": "EXPORT" } },
            { "type": "license-entitlements", "id": "le", "relationships": {
                "license": { "data": { "type": "licenses", "id": "l1" } },
                "entitlement": { "data": { "type": "entitlements", "id": "e" } } } },
            { "type": "groups", "id": "g", "attributes": {} },
        ] },
    ])
}

fn license(id: &str, attributes: &Value) -> Value {
    let tied = |kind: &str, id: &str| json!({ "data": { "type": kind, "id": id } });
    json!({ "type": "licenses", "id": id, "attributes": attributes, "relationships": {
        "product": tied("products", "p"), "policy": tied("policies", "pol"), "owner": tied("users", "u"),
        "entitlements": { "links": { "related": format!("/v1/accounts/acme/licenses/{id}/entitlements") } } } })
}

fn machine(id: &str, license: &str, fingerprint: &str, created: &str) -> Value {
    json!({ "type": "machines", "id": id,
        "attributes": { "fingerprint": fingerprint, "hostname": format!("host-{id}"), "platform": "linux", "created": created },
        "relationships": { "license": { "data": { "type": "licenses", "id": license } } } })
}

async fn site() -> Site {
    let site = Site::new().await;
    site.json(&["profile", "create", "--name", "standard"]);
    site
}

fn file(site: &Site, export: &Value) -> PathBuf {
    let file = site.folder.path().join("export.json");
    std::fs::write(&file, export.to_string()).unwrap();
    file
}

#[tokio::test]
async fn an_import_is_told_first_and_brings_licenses_machines_and_entitlements_once() {
    let site = site().await;
    let file = file(&site, &export());
    let command = ["import", "keygen", file.to_str().unwrap()];

    let told = site.json(&command);
    assert_eq!(told["licenses"].as_array().unwrap().len(), 2);
    let first = &told["licenses"][0]["license"];
    assert_eq!(first["product"], "acme-render");
    assert_eq!(first["customer"], "Example Ltd");
    assert_eq!(first["expires_at"], "2099-01-02T03:04:05Z");
    assert_eq!(first["entitlements"], json!({ "EXPORT": true }));
    assert_eq!(first["metadata"], json!({ "order": 17, "keygen": { "id": "l1", "name": "Team" } }));
    assert_eq!(told["licenses"][1]["license"]["max_installs"], 1_000_000);
    let notes: Vec<_> =
        told["notes"].as_array().unwrap().iter().map(|note| note["detail"].as_str().unwrap()).collect();
    assert_eq!(
        notes,
        [
            "1 machines, the newest, have no seat: they activate when there is room",
            "maxCores bind nothing here",
            "has no bound on machines: 1000000 seats",
            "1 of them have no place here",
        ]
    );
    assert_eq!(site.database.value("SELECT count(*) FROM licenses").await, "0");
    let said = site.says(&command);
    assert!(said.output.contains("2 licenses with 2 installs would be brought, 0 were before"), "{said:?}");

    let said = site.says(&[&command[..], &["--apply", "--json"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    let made: Vec<Value> = said.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&made[0]["keygen_id"], &made[1]["keygen_id"]), (&json!("l1"), &json!("l2")));
    let kept = site.json(&["license", "show", made[0]["license_id"].as_str().unwrap()]);
    assert_eq!((&kept["max_installs"], &kept["starts_at"]), (&json!(2), &json!("2024-05-06T07:08:09Z")));
    assert_eq!(
        site.json(&["license", "show", made[1]["license_id"].as_str().unwrap()])["status"],
        "suspended"
    );
    let key = site.json(&["license", "reveal-key", made[0]["license_id"].as_str().unwrap()]);
    assert_eq!(key["license_key"], made[0]["license_key"]);
    let installs = site.json(&["install", "list"]);
    let names: Vec<_> =
        installs.as_array().unwrap().iter().map(|install| install["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["host-m1", "host-m2"]);
    let bound = protocol::fingerprint::digest(&"acme-render".parse().unwrap(), "machine", "AA:BB");
    assert_eq!(installs[0]["fingerprint"]["bound"]["machine"], bound);

    // Once more: nothing is left to bring.
    let told = site.json(&command);
    assert_eq!((&told["brought_before"], &told["licenses"]), (&json!(2), &json!([])));
    let again = site.says(&[&command[..], &["--apply"]].concat());
    assert!(again.code == Some(0) && again.output.is_empty(), "{again:?}");
    assert_eq!(site.database.value("SELECT count(*) FROM licenses").await, "2");
}

/// What a license becomes, by Keygen's id of it.
fn told<'a>(plan: &'a Value, id: &str) -> &'a Value {
    plan["licenses"].as_array().unwrap().iter().find(|license| license["keygen_id"] == id).unwrap()
}

/// What is noted of something.
fn noted<'a>(plan: &'a Value, id: &str) -> Vec<&'a str> {
    let notes = plan["notes"].as_array().unwrap().iter().filter(|note| note["id"] == id);
    notes.map(|note| note["detail"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_keygen_leaves_out_or_says_by_null_is_understood() {
    let site = site().await;
    let bare = |id: &str, attributes: &Value, relationships: &Value| {
        json!({ "type": "licenses", "id": id, "attributes": attributes, "relationships": relationships,
                "links": { "self": format!("/v1/accounts/acme/licenses/{id}") } })
    };
    let of = |policy: &str, owner: &Value| {
        json!({ "account": { "data": { "type": "accounts", "id": "acme" } }, "environment": { "data": null },
                "group": { "data": null, "links": { "related": null } }, "owner": { "data": owner },
                "policy": { "data": { "type": "policies", "id": policy } },
                "product": { "data": { "type": "products", "id": "p" } },
                "machines": { "links": { "related": "/machines" }, "meta": { "cores": 0, "count": 0 } } })
    };
    let user = json!({ "type": "users", "id": "u" });
    let policy = |id: &str, attributes: &Value| {
        json!({ "type": "policies", "id": id, "attributes": attributes,
        "relationships": { "product": { "data": { "type": "products", "id": "p" } },
                           "entitlements": { "data": [{ "type": "entitlements", "id": "e" }] } } })
    };
    // Its product is its policy's.
    let mut of_policy = of("floating", &json!(null));
    of_policy.as_object_mut().unwrap().remove("product");
    let mut old = of("floating", &json!(null));
    old["user"] = json!({ "data": user });
    let export = json!({
        "data": [
            bare("solo", &json!({ "name": " Solo ", "expiry": null, "maxMachines": null, "metadata": {},
                "status": "ACTIVE", "suspended": false, "created": "2024-01-01T00:00:00.000Z" }), &of("locked", &json!(null))),
            bare("long", &json!({ "name": format!("a\u{7}b{}", "c".repeat(300)) }), &of_policy),
            bare("nameless", &json!({ "name": null, "maxMachines": 0, "created": "2199-01-01T00:00:00Z" }),
                &of("floating", &json!(null))),
            bare("banned", &json!({ "status": "BANNED", "suspended": false }), &of("floating", &user)),
            bare("suspended", &json!({ "status": "SUSPENDED", "metadata": null }), &old),
        ],
        "included": [
            policy("locked", &json!({ "floating": false, "maxMachines": null })),
            policy("floating", &json!({ "floating": true, "maxMachines": 3, "maxProcesses": null })),
            { "type": "products", "id": "p", "attributes": { "code": "acme-render" } },
            { "type": "users", "id": "u", "attributes": { "email": "it@example.com", "fullName": " " } },
            { "type": "entitlements", "id": "e", "attributes": { "code": "EXPORT" } },
        ],
        "links": { "self": "/v1/accounts/acme/licenses?page[number]=1&page[size]=10", "prev": null, "next": null,
                   "meta": { "pages": 1, "count": 5 } },
    });
    let file = file(&site, &export);
    let plan = site.json(&["import", "keygen", file.to_str().unwrap()]);
    let what = |id: &str| {
        let license = &told(&plan, id)["license"];
        (
            license["customer"].as_str().unwrap(),
            license["max_installs"].as_i64().unwrap(),
            &told(&plan, id)["suspended"],
        )
    };
    assert_eq!(what("solo"), ("Solo", 1, &json!(false)), "not floating: one machine");
    assert_eq!(what("long").0, format!("ab{}", "c".repeat(198)), "what fits, without what can't be printed");
    assert_eq!(told(&plan, "long")["license"]["product"], "acme-render", "its policy's");
    assert_eq!(what("nameless"), ("Keygen license nameless", 0, &json!(false)));
    assert_eq!(what("banned"), ("it@example.com", 3, &json!(true)), "its policy's bound");
    assert_eq!(
        what("suspended"),
        ("it@example.com", 3, &json!(true)),
        "whom older versions of the API call its user"
    );
    assert_eq!(noted(&plan, "banned"), ["its owner is banned: it is suspended"]);
    assert_eq!(noted(&plan, "solo"), [""; 0]);
    let solo = &told(&plan, "solo")["license"];
    assert_eq!((&solo["expires_at"], &solo["entitlements"]), (&json!(null), &json!({ "EXPORT": true })));
    assert_eq!(solo["metadata"], json!({ "keygen": { "id": "solo", "name": "Solo" } }));
    let begins =
        protocol::admin::parse_time(told(&plan, "nameless")["license"]["starts_at"].as_str().unwrap());
    assert!(begins.unwrap() <= SystemClock.unix_seconds(), "nothing was made later than now");
}

#[tokio::test]
async fn machines_hold_the_seats_in_the_order_in_which_they_came_each_once() {
    let site = site().await;
    let mut export = export();
    export[0]["data"][0]["attributes"]["maxMachines"] = json!(3);
    let mut odd = machine("none", "l1", "", "2024-06-01T00:00:00Z");
    odd["attributes"]["fingerprint"] = json!(null);
    export[1]["data"] = json!([
        machine("late", "l1", "EE:FF", "2024-06-03T00:00:00Z"),
        machine("first", "l1", "AA:BB", "2024-06-01T00:00:00Z"),
        machine("again", "l1", "AA:BB", "2024-06-04T00:00:00Z"),
        machine("future", "l1", "11:22", "2199-06-01T00:00:00Z"),
        machine("undated", "l1", "33:44", "yesterday"),
        odd,
        machine("stray", "elsewhere", "55:66", "2024-06-02T00:00:00Z"),
    ]);
    let file = file(&site, &export);
    let command = ["import", "keygen", file.to_str().unwrap()];
    let plan = site.json(&command);
    assert_eq!(told(&plan, "l1")["installs"], 3);
    assert_eq!(noted(&plan, "none"), ["has no fingerprint: it activates as a new one"]);
    assert_eq!(noted(&plan, "again"), ["has the fingerprint of another: they are one"]);
    assert!(noted(&plan, "undated")[0].ends_with("it counts as made now"), "{plan}");
    assert_eq!(noted(&plan, "elsewhere"), ["1 machines are of this license, which isn't in the file"]);
    assert!(
        noted(&plan, "l1")
            .contains(&"1 machines, the newest, have no seat: they activate when there is room")
    );
    site.says(&[&command[..], &["--apply"]].concat());
    let installs = site.json(&["install", "list"]);
    let came: HashMap<&str, &str> = installs
        .as_array()
        .unwrap()
        .iter()
        .map(|install| (install["name"].as_str().unwrap(), install["activated_at"].as_str().unwrap()))
        .collect();
    assert_eq!(
        (came.len(), came["host-first"], came["host-late"]),
        (3, "2024-06-01T00:00:00Z", "2024-06-03T00:00:00Z")
    );
    let future = protocol::admin::parse_time(came["host-future"]).unwrap();
    assert!(future <= SystemClock.unix_seconds(), "nothing came later than now");
}

#[tokio::test]
async fn a_page_that_is_missing_keeps_everything_from_being_brought_unless_it_is_left_out() {
    let site = site().await;
    let mut export = export();
    let next = "/v1/accounts/acme/machines?page[number]=2&page[size]=3";
    export[1]["links"] = json!({ "self": next.replace('2', "1"), "next": next });
    let file = file(&site, &export);
    let command = ["import", "keygen", file.to_str().unwrap(), "--apply"];
    let said = site.says(&command);
    assert!(
        said.code == Some(2) && said.error.contains(&format!("problem: pages {next}: isn't in the file")),
        "{said:?}"
    );
    assert_eq!(site.database.value("SELECT count(*) FROM licenses").await, "0");
    assert_eq!(site.says(&[&command[..], &["--leave-out"]].concat()).code, Some(0));
    assert_eq!(site.database.value("SELECT count(*) FROM licenses").await, "2");
}

#[tokio::test]
async fn what_cant_be_brought_is_named_and_nothing_is_brought_unless_it_is_left_out() {
    let site = site().await;
    let mut export = export();
    let licenses = export[0]["data"].as_array_mut().unwrap();
    licenses.push(license("l3", &json!({ "expiry": "tomorrow", "maxMachines": -1 })));
    let ended = json!({ "created": "2024-01-02T00:00:00Z", "expiry": "2024-01-02T00:00:00Z" });
    licenses.push(license("l4", &ended));
    licenses.push(license("l6", &json!({ "expiry": "2024-01-02T00:00:00Z" })));
    let mut unknown = license("l5", &json!({}));
    unknown["relationships"]["entitlements"] = json!({ "data": [{ "type": "entitlements", "id": "lost" }] });
    licenses.push(unknown);
    let file = file(&site, &export);
    let command = ["import", "keygen", file.to_str().unwrap()];
    let apply = [&command[..], &["--apply"]].concat();
    for arguments in [&command[..], &apply] {
        let said = site.says(arguments);
        assert_eq!(said.code, Some(2));
        assert!(said.error.contains("problem: licenses l3: expiry is \"tomorrow\""), "{said:?}");
        assert!(said.error.contains("problem: licenses l3: maxMachines is -1"), "{said:?}");
        assert!(said.error.contains("problem: licenses l4: expiry isn't later than created"), "{said:?}");
        assert!(said.error.contains("problem: licenses l6: expiry isn't later than created"), "{said:?}");
        assert!(said.error.contains("problem: licenses l5: entitlement lost isn't in the file"), "{said:?}");
        assert!(said.error.contains("4 licenses or pages can't be brought"), "{said:?}");
        assert_eq!(site.database.value("SELECT count(*) FROM licenses").await, "0");
    }
    let said = site.says(&[&apply[..], &["--leave-out"]].concat());
    assert!(said.code == Some(0) && said.error.contains("2 licenses were brought"), "{said:?}");
}

#[tokio::test]
async fn a_product_without_a_code_gets_one_from_the_operator() {
    let site = site().await;
    let mut export = export();
    export[2]["data"][0]["attributes"]["code"] = json!("Acme Render!");
    let file = file(&site, &export);
    let command = ["import", "keygen", file.to_str().unwrap()];
    let said = site.says(&command);
    assert!(said.code == Some(2) && said.error.contains("--product p=CODE gives it another"), "{said:?}");
    for product in ["p=acme.vault", "Acme Render!=acme.vault", "acme.vault"] {
        let told = site.json(&[&command[..], &["--product", product]].concat());
        assert_eq!(told["licenses"][0]["license"]["product"], "acme.vault", "{product}");
    }
    let said = site.says(&[&command[..], &["--product", "p=No Code"]].concat());
    assert_eq!(said.code, Some(2));
}

#[tokio::test]
async fn what_is_no_export_is_said() {
    let site = site().await;
    for (text, wanted) in
        [("{", "EOF"), ("[]", "no license in it"), ("7", "neither a document nor a resource")]
    {
        let file = site.folder.path().join("export.json");
        std::fs::write(&file, text).unwrap();
        let said = site.says(&["import", "keygen", file.to_str().unwrap()]);
        assert!(said.code == Some(2) && said.error.contains(wanted), "{said:?}");
    }
}
