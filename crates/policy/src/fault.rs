//! What is wrong with a JSON text, and where.

use std::fmt;

/// A member that isn't as it should be. Whoever wrote the text is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// Where it stands: a JSON pointer (RFC 6901). Of a missing member its own; empty for the whole text.
    pub pointer: String,
    /// What it should be.
    pub detail: String,
}

impl Fault {
    /// A fault of what is being read; [`Fault::within`] says where that stands.
    pub(crate) fn new(detail: impl Into<String>) -> Self {
        Self { pointer: String::new(), detail: detail.into() }
    }

    /// The same, seen from the object whose member `name` it is in.
    pub(crate) fn within(mut self, name: &str) -> Self {
        self.pointer.insert_str(0, &format!("/{}", name.replace('~', "~0").replace('/', "~1")));
        self
    }
}

/// One fault is a list of faults: where all are collected, `?` adds the one that stopped a reader.
impl From<Fault> for Vec<Fault> {
    fn from(fault: Fault) -> Self {
        vec![fault]
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.detail),
            pointer => write!(f, "{pointer}: {}", self.detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn a_pointer_is_escaped_and_grows_outwards() {
        let fault = Fault::new("is missing").within("a/b~c").within("weights");
        assert_eq!(fault.to_string(), "/weights/a~1b~0c: is missing");
        assert_eq!(Fault::new("is no JSON").to_string(), "is no JSON");
    }
}
