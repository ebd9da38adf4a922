//! Components that the vendor chose.

use std::{fs, path::Path};

use protocol::{
    fingerprint::{MAX_COMPONENTS, check_name},
    json::{self, Value},
};

use super::Component;
use crate::Error;

const MAX_FILE: u64 = 64 * 1024;

/// Reads a JSON object of 1 to 16 names and raw values, each a text that isn't empty.
pub(super) fn components(path: &Path) -> Result<Vec<Component>, Error> {
    let refused = |why: &str| Error::Fingerprint { why: format!("{} {why}", path.display()) };
    let failed = |source| Error::Folder { action: "read", path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(refused("is longer than 64 KiB"));
    }
    let bytes = fs::read(path).map_err(failed)?;
    let json = json::parse(&bytes).map_err(|_| refused("is not JSON"))?;
    let Value::Object(members) = json.value else { return Err(refused("is no JSON object")) };
    if !(1..=MAX_COMPONENTS).contains(&members.len()) {
        return Err(refused("names none or more than 16 components"));
    }
    let component = |(name, value): (std::borrow::Cow<'_, str>, json::Json<'_>)| match value.value {
        Value::String(raw) if check_name(&name).is_ok() && !raw.is_empty() => {
            Some(Component::new(&name, raw.into()))
        }
        _ => None,
    };
    let components: Option<_> = members.into_iter().map(component).collect();
    components.ok_or_else(|| refused("has a name that isn't [a-z0-9_]{1,32} or a value that isn't a text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_of_names_and_texts_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let read = |json: &str| {
            let path = folder.path().join("components.json");
            fs::write(&path, json).unwrap();
            components(&path)
        };
        assert_eq!(read(r#"{"dongle": "17", "site": "Köln"}"#).ok().map(|read| read.len()), Some(2));
        let many: Vec<_> = (0..17).map(|number| format!(r#""c{number}": "x""#)).collect();
        let many = format!("{{{}}}", many.join(","));
        for other in
            ["", "[]", "{}", r#"{"Site": "x"}"#, r#"{"a": 1}"#, r#"{"a": ""}"#, r#"{"a":"1","a":"2"}"#, &many]
        {
            assert!(matches!(read(other), Err(Error::Fingerprint { .. })), "{other}");
        }
        assert!(matches!(components(&folder.path().join("none")), Err(Error::Folder { .. })));
    }
}
