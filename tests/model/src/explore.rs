//! Tries everything in a scope, and says what came of it.

use std::{
    fmt,
    io::Write as _,
    time::{Duration, Instant},
};

use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::{
    model::Protocol,
    promise::Promise,
    scope::{Broken, Scope},
    seen::Situation,
};

/// What was found in a scope.
pub struct Found {
    /// Different worlds.
    pub worlds: usize,
    /// Events that were tried.
    pub events: usize,
    /// Events from the beginning to the farthest world.
    pub depth: usize,
    /// The promise that is broken soonest, and the shortest way to where it is.
    pub broken: Option<(Promise, String)>,
    /// Whether everything within the scope was tried.
    pub exhausted: bool,
    situations: Vec<Situation>,
}

impl Found {
    /// Whether a situation came up.
    pub fn has(&self, situation: Situation) -> bool {
        self.situations.contains(&situation)
    }
}

/// The broken promise, and how it came to be.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.broken {
            Some((promise, way)) => write!(f, "broken: {}\n{way}", promise.text()),
            None => f.write_str("every promise holds"),
        }
    }
}

/// Tries everything in a scope, the nearest worlds first, until a promise is found broken, or for as long as there is.
pub fn explore(scope: &Scope, broken: Option<Broken>, longest: Option<Duration>) -> Found {
    let begun = Instant::now();
    let model = Protocol::new(scope.clone(), broken, longest.map(|longest| begun + longest));
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut discoveries = checker.discoveries();
    let model = checker.model();
    let found = Found {
        broken: Promise::ALL.into_iter().find_map(|promise| {
            let path = discoveries.remove(promise.text())?;
            Some((promise, model.told(path.into_vec())))
        }),
        worlds: checker.unique_state_count(),
        events: checker.state_count(),
        depth: checker.max_depth().saturating_sub(1),
        exhausted: !model.is_cut(),
        situations: Situation::ALL.into_iter().filter(|situation| model.known.seen.has(*situation)).collect(),
    };
    let rule = broken.map_or_else(String::new, |broken| format!(", with {broken:?}"));
    let end = match (found.broken.is_none(), found.exhausted) {
        (false, _) => "a promise is broken",
        (true, true) => "nothing left to try",
        (true, false) => "time is over",
    };
    // Not by a macro whose output the test runner keeps to itself.
    let _unread = writeln!(
        std::io::stderr(),
        "model {}{rule}: {} worlds by {} events, {} deep, {} runs of the code, {:.1} s: {end}",
        scope.name,
        found.worlds,
        found.events,
        found.depth,
        model.known.computed(),
        begun.elapsed().as_secs_f64(),
    );
    found
}
