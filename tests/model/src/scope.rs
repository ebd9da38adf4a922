//! How much may happen in a model, and which rule is broken in it.

/// The bounds within which everything is tried that may happen.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether something may happen")]
pub struct Scope {
    /// What it is called in reports.
    pub name: &'static str,
    /// How many machines there are, each with an install of its own under one license.
    pub machines: usize,
    /// Whether they are activated at the beginning, with secrets that were never used.
    pub activated: bool,
    /// Whether the agents hold the license key. Otherwise an operator activates a machine, once.
    pub key_kept: bool,
    /// How many operations each machine begins.
    pub operations: u8,
    /// How many of them a copy begins.
    pub copy_operations: u8,
    /// Whether machines ask for new secrets.
    pub rekeys: bool,
    /// How many activations may be asked for by machines that are activated.
    pub reinstalls: u8,
    /// How often activations are judged, repeated ones included.
    pub activations: u8,
    /// How many requests two server processes judge at a time.
    pub tasks: usize,
    /// Whether heartbeats that wait together are judged and committed together.
    pub batches: bool,
    /// How often five minutes pass.
    pub ticks: u8,
    /// How many state folders are copied to other machines.
    pub copies: u8,
    /// By how many seconds a copy's wall clock is ahead, its machine being another one.
    pub copy_clock: i64,
    /// How many old images of state folders are restored.
    pub images: u8,
    /// How often the operator clears a suspicion, by rebinding the install or by resetting it.
    pub clearings: u8,
    /// Whether the installs have used up all of their rate but one request.
    pub used_up: bool,
}

impl Scope {
    /// One machine that is activated, a network, and two processes; nothing else.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            machines: 1,
            activated: true,
            key_kept: false,
            operations: 3,
            copy_operations: 0,
            rekeys: true,
            reinstalls: 0,
            activations: 0,
            tasks: 2,
            batches: false,
            ticks: 0,
            copies: 0,
            copy_clock: 0,
            images: 0,
            clearings: 0,
            used_up: false,
        }
    }

    /// The same with so many more operations for every machine.
    #[must_use]
    pub const fn deeper(self, by: u8) -> Self {
        let copy_operations = if self.copies > 0 { self.copy_operations + by } else { 0 };
        Self { operations: self.operations + by, copy_operations, ..self }
    }
}

/// A rule of the protocol that isn't kept, to see that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The window has one counter: what was overtaken is taken for a fork.
    WindowOfOne,
    /// Nonces aren't remembered.
    NoncesForgotten,
    /// An activation forgets the nonces from before it.
    NoncesForgottenByActivation,
    /// A rekey ends the old secret at once.
    OldSecretDeadByRekey,
    /// A retried activation ends the secret before it at once.
    OldSecretDeadByRetry,
    /// What was judged is written, whatever the install is by then.
    RevisionUnchecked,
    /// The answer goes out before the commit.
    AnswerBeforeCommit,
    /// The agent writes its counter after it has sent it.
    CounterAfterSending,
    /// The agent uses a secret before it has forgotten the activation that brought it.
    AnsweredActivationKept,
    /// A fork isn't suspected of anything.
    ForkUnnoticed,
    /// A fork takes the highest counter down to its own.
    HighestLowered,
}
