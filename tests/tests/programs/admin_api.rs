//! The admin API as its own document describes it, called by schemathesis: no fault of the server's, no answer that the
//! document doesn't have.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::site::Site;

/// What it holds answers to.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance";

#[tokio::test]
async fn whatever_is_sent_to_the_admin_api_is_answered_as_its_document_says() {
    let python = std::env::var_os("QT_SCHEMATHESIS_PYTHON").expect(
        "QT_SCHEMATHESIS_PYTHON names no Python interpreter that has tests/schemathesis/requirements.txt: run this by \
         `cargo xtask test`, which makes one",
    );
    let program = Path::new(&python).with_file_name("schemathesis");
    let site = Site::new().await;
    site.license("{}", 5).await;
    let key = site.operate(&["api-key", "create", "--role", "owner"]).await;
    let server = site.serve().await;
    let mut command = Command::new(program);
    command
        .arg("run")
        .arg(format!("{}/v1/admin/openapi.json", server.url))
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", key["api_key"].as_str().unwrap()))
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "10"])
        // The same calls in every run.
        .args(["--seed", "1", "--generation-deterministic", "--continue-on-failure"])
        .current_dir(site.folder())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(Duration::from_mins(5), command.output()).await.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(" passed"), "{said}");
    drop(server);
}
