//! A world: everything that the next event depends on, and the events.

use qubictether_agent::transport::Answer;

use crate::{
    install::Install,
    machine::Machine,
    pool::Id,
    promise::{Acknowledged, Posted, Promise, Race},
    server::How,
    wire::{Ask, Wire},
};

/// Everything that the next event depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// How often five minutes have passed.
    pub(crate) tick: u8,
    pub(crate) installs: Vec<Standing>,
    pub(crate) machines: Vec<Place>,
    /// What was sent and may still do something, in order.
    pub(crate) posted: Vec<Posted>,
    /// What server processes have judged and not committed, in order: it doesn't matter which process it is.
    pub(crate) tasks: Vec<Task>,
    /// An old state folder, and whose it was.
    pub(crate) image: Option<(u8, Id<Machine>)>,
    pub(crate) left: Left,
    pub(crate) broken: Option<Promise>,
}

/// An install in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Standing {
    /// `None`: it was never activated.
    pub(crate) row: Option<Id<Install>>,
    /// How often the row was written.
    pub(crate) revision: u8,
    /// Its folder was copied, or an old one restored: suspicion is right.
    pub(crate) tainted: bool,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) race: Option<Race>,
}

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) machine: Id<Machine>,
    /// Which install it is.
    pub(crate) install: u8,
    pub(crate) waits_for: Option<Id<Wire>>,
    /// How many operations it may begin.
    pub(crate) operations: u8,
    pub(crate) is_copy: bool,
}

/// What a server process judged and is about to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Task {
    pub(crate) install: u8,
    /// The revision that it was judged by.
    pub(crate) revision: u8,
    /// The install as it is to be.
    pub(crate) row: Id<Install>,
    judged: (Judged, Option<Judged>),
}

impl Task {
    pub(crate) const fn new(install: u8, revision: u8, row: Id<Install>, judged: Judged) -> Self {
        Self { install, revision, row, judged: (judged, None) }
    }

    /// Adds a request that was judged after the first.
    pub(crate) const fn join(&mut self, row: Id<Install>, judged: Judged) {
        self.row = row;
        self.judged.1 = Some(judged);
    }

    /// One or two requests, in the order in which they were judged.
    pub(crate) fn judged(&self) -> impl Iterator<Item = Judged> {
        [Some(self.judged.0), self.judged.1].into_iter().flatten()
    }
}

/// A request that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Judged {
    pub(crate) wire: Id<Wire>,
    pub(crate) answer: Id<Answer>,
    pub(crate) how: How,
}

/// How much may still happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) reinstalls: u8,
    pub(crate) activations: u8,
    pub(crate) copies: u8,
    pub(crate) images: u8,
    pub(crate) clearings: u8,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    /// It gets lost on its way, or the server dies before it has sent it.
    Lost,
    /// It arrives.
    Heard,
    /// It arrives, and the agent dies when it has written what it heard, before it has forgotten what it asked.
    HeardBeforeDeath,
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// An agent begins an operation: it writes its counter and sends. It may die between the two.
    Begin {
        /// Which machine.
        machine: u8,
        /// What it asks for.
        ask: Ask,
        /// Whether it dies between writing and sending.
        dies: bool,
    },
    /// The network delivers a request, and a process reads the install and judges it.
    Deliver {
        /// Which.
        wire: Id<Wire>,
        /// Another one that waited with it: both are judged, in this order, by what was read once.
        with: Option<Id<Wire>>,
    },
    /// A process commits what it judged, if the install is what it was, and answers.
    Commit {
        /// Which.
        task: usize,
        /// What becomes of the answers.
        fates: [Fate; 2],
    },
    /// A process dies before its commit.
    ServerDies {
        /// What it was about to commit.
        task: usize,
    },
    /// An agent waits no longer.
    TimesOut(u8),
    /// An agent dies while it waits, and is started again.
    AgentDies(u8),
    /// Five minutes pass.
    Pass,
    /// A state folder is copied to another machine.
    Copy(u8),
    /// An image of a state folder is taken.
    TakeImage(u8),
    /// The image is restored.
    Restore,
    /// The operator clears a suspicion: rebinds the install, or resets it.
    Clear {
        /// Which install.
        install: u8,
        /// Whether its secrets die.
        reset: bool,
    },
}
