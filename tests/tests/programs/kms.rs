//! Keys that KMS wraps: an emulated one, which refuses as AWS's does.
//!
//! `QT_LOCALSTACK_PYTHON` is a Python interpreter that has LocalStack: `cargo xtask test` sets it.

mod emulator;
mod functions;
mod moving;
mod running;
mod starting;
mod way;

use std::fs;

use crate::site::Site;
use emulator::emulator;
use store::testing::TestDatabase;
use way::Way;

/// A site whose keys are wrapped by a key of KMS, and the way that its programs go to KMS.
struct Wrapped {
    site: Site,
    way: Way,
    key: String,
}

impl Wrapped {
    /// A site with keys.
    async fn new() -> Self {
        let mut wrapped = Self::without_keys().await;
        let made = wrapped.site.operate(&["init"]).await;
        made["root_public_key"].as_str().unwrap().clone_into(&mut wrapped.site.root_key);
        wrapped
    }

    async fn without_keys() -> Self {
        let key = emulator().make_key();
        let way = Way::to_kms();
        let mut site = Site::bare(TestDatabase::empty().await);
        site.besides = environment(&key, way.url());
        Self { site, way, key }
    }
}

/// What programs need for a key of KMS.
fn environment(key: &str, endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("QT_KEY_PROVIDER", "kms".to_owned()),
        ("QT_KMS_KEY_ID", key.to_owned()),
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_REGION", emulator().region.clone()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
    ]
}

/// The bytes of a function's folder: its binary by the name that Lambda runs.
fn code(site: &Site, function: &str) -> String {
    let folder = site.folder().join("code").join(function);
    fs::create_dir_all(&folder).unwrap();
    let program = crate::site::program(function);
    std::os::unix::fs::symlink(program.as_std().get_program(), folder.join("bootstrap")).unwrap();
    folder.to_str().unwrap().to_owned()
}
