use std::fmt;

use policy::Reason;

/// The reasons that are no decision's.
const OWN: [&str; 3] = [REVOKED, NOT_ALLOWED, LIMIT];

const REVOKED: &str = "lease_revoked";

const NOT_ALLOWED: &str = "lease_not_allowed";

const LIMIT: &str = "lease_limit";

/// Why a server grants no lease: a stable code. One that isn't known here has no name: texts of servers are never
/// repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(Option<&'static str>);

impl Refusal {
    /// The refusal of this name.
    pub(crate) fn named(name: &str) -> Self {
        let own = OWN.into_iter().find(|own| *own == name);
        Self(own.or_else(|| name.parse().ok().map(Reason::as_str)))
    }

    /// The name, if it is one that is known.
    pub const fn reason(self) -> Option<&'static str> {
        self.0
    }

    /// What whoever asked can do.
    pub fn remedy(self) -> &'static str {
        match self.0 {
            Some(REVOKED) => "an operator revoked the last one, and its time isn't over: ask him",
            Some(NOT_ALLOWED) => "neither the license nor its profile may forbid leases: ask the operator",
            Some(LIMIT) => {
                "return the lease of another machine of this license, or ask the operator for more"
            }
            Some(_) => "only a machine in order gets one: beat, and do something about what that says",
            None => "ask the operator",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.unwrap_or("for a reason that this agent doesn't know"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_are_known_are_named_and_others_never_repeated() {
        for name in
            ["lease_limit", "lease_revoked", "lease_not_allowed", "license_suspended", "out_of_contact"]
        {
            assert_eq!(Refusal::named(name).to_string(), name);
        }
        let other = Refusal::named("qt1dqsgn8");
        assert_eq!(other.reason(), None);
        assert!(!other.to_string().contains("dqsgn8") && !format!("{other:?}").contains("dqsgn8"));
    }
}
