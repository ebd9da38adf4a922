use std::{fmt, str::FromStr};

use crate::Error;

/// Names a key of KMS: its id, its ARN, an alias (`alias/…`) or an alias's ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsKeyId(String);

impl KmsKeyId {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region of a key that is named by an ARN.
    pub(crate) fn region(&self) -> Option<&str> {
        self.0.strip_prefix("arn:")?.split(':').nth(2)
    }
}

/// `arn:partition:kms:region:account:key/…` or `…:alias/…`.
fn is_arn(text: &str) -> bool {
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts[..] else { return false };
    arn == "arn"
        && !partition.is_empty()
        && service == "kms"
        && !region.is_empty()
        && !account.is_empty()
        && (is_alias(resource) || resource.strip_prefix("key/").is_some_and(is_id))
}

fn is_alias(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-'))
    };
    text.strip_prefix("alias/").is_some_and(is_name)
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

impl FromStr for KmsKeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // KMS takes no longer one.
        let is_right = text.len() <= 2048 && (is_arn(text) || is_alias(text) || is_id(text));
        if is_right { Ok(Self(text.to_owned())) } else { Err(Error::KmsKeyId) }
    }
}

impl fmt::Display for KmsKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
