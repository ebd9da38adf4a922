//! What must hold in every world, and what is remembered of its past to say so.

use crate::{pool::Id, wire::Wire};

/// What the protocol promises. A world in which one is broken goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promise {
    /// No nonce of a proof is accepted twice.
    NonceOnce,
    /// Between two activations of an install no counter is accepted twice.
    CounterOnce,
    /// The highest counter never goes down, but to 0 by an activation.
    HighestGrows,
    /// A counter whose acceptance was answered stays accepted until the next activation.
    AcknowledgedIsStored,
    /// An install whose state folder was neither copied nor restored is never suspected.
    HonestIsTrusted,
    /// Of two living copies whichever is behind is suspected at its first request that is judged.
    CopyIsSuspected,
    /// An agent beats, or its license key activates anew.
    NobodyIsStranded,
}

impl Promise {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NonceOnce,
        Self::CounterOnce,
        Self::HighestGrows,
        Self::AcknowledgedIsStored,
        Self::HonestIsTrusted,
        Self::CopyIsSuspected,
        Self::NobodyIsStranded,
    ];

    /// The promise as a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NonceOnce => "no nonce is accepted twice",
            Self::CounterOnce => "no counter is accepted twice",
            Self::HighestGrows => "the highest counter never goes down but by an activation",
            Self::AcknowledgedIsStored => "an acknowledged decision is stored",
            Self::HonestIsTrusted => "no honest install is suspected",
            Self::CopyIsSuspected => "a copy is suspected at the first request of whichever is behind",
            Self::NobodyIsStranded => "nobody is left without a secret that serves",
        }
    }
}

/// The requests of two machines that hold one secret, since the folder was copied and until an activation.
///
/// Whoever goes ahead of the other unnoticed has taken at least one counter that was never judged: he overtook the other
/// on a request that got lost. So an unnoticed change of the lead costs a lost request, and where none is lost there
/// is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Race {
    /// The counter at which both began.
    start: u64,
    /// Whose request was judged last.
    last: Option<u8>,
    /// Requests that were not judged, less changes of the lead.
    slack: i8,
}

impl Race {
    pub(crate) const fn from(start: u64) -> Self {
        Self { start, last: None, slack: 0 }
    }

    /// One of them takes a counter.
    pub(crate) const fn attempt(&mut self) {
        self.slack = self.slack.saturating_add(1);
    }

    /// A request of `machine` is judged and not suspected. Says whether the race is fair still.
    pub(crate) fn judged(&mut self, machine: u8, counter: u64) -> bool {
        if counter <= self.start {
            return true;
        }
        self.slack -= 1;
        if self.last.replace(machine).is_some_and(|last| last != machine) {
            self.slack -= 1;
        }
        self.slack >= 0
    }
}

/// The counters whose acceptance was answered since an install's last activation, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Acknowledged(u64);

impl Acknowledged {
    /// Adds a counter. Says whether it is the first time.
    pub(crate) fn add(&mut self, counter: u64) -> bool {
        assert!(counter < 64, "no scope has so many attempts");
        let before = self.0;
        self.0 |= 1 << counter;
        self.0 != before
    }

    pub(crate) fn counters(self) -> impl Iterator<Item = u64> {
        (0..64).filter(move |counter| self.0 >> counter & 1 == 1)
    }

    pub(crate) fn clear(&mut self) {
        self.0 = 0;
    }
}

/// A request that the network may deliver, as often as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Posted {
    pub(crate) wire: Id<Wire>,
    /// Its nonce was accepted.
    pub(crate) accepted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who sends, with which counter, and whether it is judged.
    fn is_fair(requests: &[(u8, u64, bool)]) -> bool {
        let mut race = Race::from(10);
        requests.iter().all(|(machine, counter, judged)| {
            race.attempt();
            !judged || race.judged(*machine, *counter)
        })
    }

    #[test]
    fn an_unnoticed_change_of_the_lead_costs_a_lost_request() {
        assert!(is_fair(&[(0, 11, true), (0, 12, true), (0, 13, true)]));
        assert!(!is_fair(&[(0, 11, true), (1, 12, true)]), "the other's first is number 11");
        assert!(is_fair(&[(0, 11, true), (1, 11, false), (1, 12, true)]));
        assert!(!is_fair(&[(0, 11, true), (1, 11, false), (1, 12, true), (0, 13, true)]));
        assert!(is_fair(&[(0, 11, true), (1, 11, false), (1, 12, true), (0, 12, false), (0, 13, true)]));
    }

    #[test]
    fn what_was_on_its_way_when_the_folder_was_copied_is_nobodys_lead() {
        let mut race = Race::from(10);
        assert!(race.judged(0, 10));
        race.attempt();
        assert!(race.judged(1, 11));
    }

    #[test]
    fn a_counter_is_acknowledged_once() {
        let mut acknowledged = Acknowledged::default();
        assert!(acknowledged.add(3) && acknowledged.add(1) && !acknowledged.add(3));
        assert_eq!(acknowledged.counters().collect::<Vec<_>>(), [1, 3]);
        acknowledged.clear();
        assert!(acknowledged.add(3));
    }
}
