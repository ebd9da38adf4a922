//! The admin API's OpenAPI document, generated from the code.

use std::fs;

use crate::{
    config::Config,
    error::Error,
    run::{announce, cargo, read},
};

/// Writes the document. A test fails where what is committed isn't it.
pub(crate) fn openapi(config: &Config) -> Result<(), Error> {
    let mut command = cargo(config, ["run", "--quiet", "--package", "admin", "--example", "openapi"]);
    let document = read(&mut command)?;
    let path = config.checkout.join("docs/openapi.json");
    fs::write(&path, document.trim_end().to_owned() + "\n").map_err(Error::io("write", &path))?;
    announce(&format!("wrote {}", path.display()));
    Ok(())
}
