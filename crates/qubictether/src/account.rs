//! Who runs a command, for the audit log: the name of the account, as the system has it.

use std::fs;

use admin::Operator;
use store::{Actor, Store};

/// Where the system's own accounts are: a name, something, a number, and more, with colons between.
const ACCOUNTS: &str = "/etc/passwd";

/// Whoever runs this.
pub(crate) fn actor() -> Actor {
    let accounts = fs::read(ACCOUNTS).unwrap_or_default();
    let own = rustix::process::getuid().as_raw();
    let mut actor = Actor::command_line();
    // An account that is kept elsewhere, or has no name (containers), has that of the command line.
    if let Some(name) = name_of(&String::from_utf8_lossy(&accounts), own) {
        actor.name = name;
    }
    actor
}

/// Whoever runs this, as the one who wants something done.
pub(crate) fn operator(store: &Store) -> Operator<'_> {
    Operator { actor: actor(), ..Operator::at_the_command_line(store) }
}

fn name_of(accounts: &str, user: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut members = line.split(':');
        let (name, number) = (members.next()?, members.nth(1)?);
        (!name.is_empty() && number.parse() == Ok(user)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn an_account_is_found_by_its_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nann:x:1000:1000::/home/ann:\n:x:7:7::/:\n";
        assert_eq!(name_of(accounts, 0).as_deref(), Some("root"));
        assert_eq!(name_of(accounts, 1000).as_deref(), Some("ann"));
        assert_eq!((name_of(accounts, 7), name_of(accounts, 8)), (None, None));
    }
}
