//! The model as the checker wants it: worlds, events, promises.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use protocol::{rate::Rate, replay::ReplayState};
use stateright::{Model, Property};

use crate::{
    install::Install,
    known::{Known, instant},
    machine::Machine,
    promise::{Acknowledged, Promise},
    scope::{Broken, Scope},
    server::How,
    wire::Ask,
    world::{Event, Fate, Left, Place, Standing, Task, World},
};

/// The protocol within a scope.
pub(crate) struct Protocol {
    pub(crate) scope: Scope,
    pub(crate) broken: Option<Broken>,
    pub(crate) known: Known,
    /// The first world that was found broken.
    first: OnceLock<World>,
    /// When to try nothing more.
    deadline: Option<Instant>,
    /// Something wasn't tried for want of time.
    is_cut: AtomicBool,
}

impl Protocol {
    /// The protocol within a scope, perhaps with a rule that isn't kept, to be tried until then.
    pub(crate) fn new(scope: Scope, broken: Option<Broken>, deadline: Option<Instant>) -> Self {
        let known = Known::new(&scope, broken);
        Self { scope, broken, known, first: OnceLock::new(), deadline, is_cut: false.into() }
    }

    /// Whether something wasn't tried for want of time.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// A machine, and its install if it is activated: long ago, by a request that nobody repeats any more.
    fn place(&self, number: u8) -> (Place, Standing) {
        let Known { machines, installs, settings, server, .. } = &self.known;
        let machine = Machine::new(number, settings);
        let mut place = Place {
            machine: machines.put(machine),
            install: number,
            waits_for: None,
            operations: self.scope.operations,
            is_copy: false,
        };
        let mut row = None;
        if self.scope.activated {
            let begun = self.known.begin(place.machine, Ask::Activate, 0);
            let begun = begun.expect("whoever isn't activated can activate");
            let wire = begun.sent.map(|wire| self.known.wires.at(wire)).expect("it was sent");
            let judgement = server.judge(None, &wire, instant(0));
            let (install, _) = judgement.judged.expect("there is a seat");
            let answer = self.known.answers.put(judgement.answer);
            place.machine = self.known.hear(begun.machine, Some(answer), 0).machine;
            row = Some(installs.put(self.aged(install)));
        }
        let standing =
            Standing { row, revision: 0, tainted: false, acknowledged: Acknowledged::default(), race: None };
        (place, standing)
    }

    fn aged(&self, install: Install) -> Install {
        /// Longer than anything of an activation is remembered for.
        const LONG: i64 = 86_400;
        let used = if self.scope.used_up { instant(0) * 1000 + 45_000 } else { 0 };
        Install {
            replay: ReplayState::default(),
            activation_at: install.activation_at - LONG,
            rate: Rate { tat: used },
            ..install
        }
    }

    /// What may become of the answers to what a task holds.
    fn fates(&self, world: &World, task: &Task, mut each: impl FnMut([Fate; 2])) {
        let of = |index: usize| -> &[Fate] {
            let Some(judged) = task.judged().nth(index) else { return &[Fate::Lost] };
            let is_waited_for = world.machines.iter().any(|place| place.waits_for == Some(judged.wire));
            match judged.how {
                _ if !is_waited_for || self.broken == Some(Broken::AnswerBeforeCommit) => &[Fate::Lost],
                How::Activated | How::Retried => &[Fate::Heard, Fate::Lost, Fate::HeardBeforeDeath],
                How::Accepted | How::Fork => &[Fate::Heard, Fate::Lost],
            }
        };
        for first in of(0) {
            for second in of(1) {
                each([*first, *second]);
            }
        }
    }

    fn beginnings(&self, world: &World, events: &mut Vec<Event>) {
        for (machine, place) in (0..).zip(&world.machines) {
            if place.waits_for.is_some() {
                events.extend([Event::TimesOut(machine), Event::AgentDies(machine)]);
                continue;
            }
            if place.operations == 0 {
                continue;
            }
            let is_activated = self.known.machines.at(place.machine).is_activated();
            let asks = [
                (Ask::Beat, is_activated),
                (Ask::Rekey, is_activated && self.scope.rekeys),
                (Ask::Activate, !is_activated || world.left.reinstalls > 0),
            ];
            for (ask, _) in asks.into_iter().filter(|(_, may)| *may) {
                events.extend([false, true].map(|dies| Event::Begin { machine, ask, dies }));
            }
        }
    }

    fn deliveries(&self, world: &World, events: &mut Vec<Event>) {
        for posted in &world.posted {
            let wire = posted.wire;
            events.push(Event::Deliver { wire, with: None });
            if self.scope.batches && self.known.wires.at(wire).ask == Ask::Beat {
                let beats =
                    world.posted.iter().filter(|other| self.known.wires.at(other.wire).ask == Ask::Beat);
                events.extend(beats.map(|other| Event::Deliver { wire, with: Some(other.wire) }));
            }
        }
        for (index, task) in world.tasks.iter().enumerate() {
            self.fates(world, task, |fates| events.push(Event::Commit { task: index, fates }));
            events.push(Event::ServerDies { task: index });
        }
    }

    fn misfortunes(&self, world: &World, events: &mut Vec<Event>) {
        let left = &world.left;
        if world.tick < self.scope.ticks {
            events.push(Event::Pass);
        }
        let originals = (0..).zip(&world.machines).filter(|(_, place)| !place.is_copy);
        for (machine, place) in originals {
            if !self.known.machines.at(place.machine).is_activated() {
                continue;
            }
            if left.copies > 0 {
                events.push(Event::Copy(machine));
            }
            if left.images > 0 && world.image.is_none() {
                events.push(Event::TakeImage(machine));
            }
        }
        if world.image.is_some() && left.images > 0 {
            events.push(Event::Restore);
        }
        if left.clearings > 0 {
            for (install, standing) in (0..).zip(&world.installs) {
                let row = standing.row.map(|row| self.known.installs.at(row));
                if row.is_some_and(|row| row.clone_suspected_at.is_some()) {
                    events.extend([false, true].map(|reset| Event::Clear { install, reset }));
                }
            }
        }
    }

    /// Whether a promise is broken in this world, and in none before it: the nearest world is what people want to see.
    fn breaks_first(&self, world: &World, promise: Promise) -> bool {
        let is_broken = match promise {
            Promise::NobodyIsStranded => !self.nobody_is_stranded(world),
            _ => world.broken == Some(promise),
        };
        is_broken && self.first.get_or_init(|| world.clone()) == world
    }

    /// Whether every agent gets on that should: all but a copy, or one that lost its secret to a copy or to an old image
    /// and has no key.
    fn nobody_is_stranded(&self, world: &World) -> bool {
        world.machines.iter().all(|place| {
            let Standing { row, tainted, .. } = &world.installs[usize::from(place.install)];
            let is_owed = !place.is_copy && (!tainted || self.scope.key_kept);
            !is_owed || self.known.gets_on(place.machine, *row, world.tick)
        })
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let places = (0..self.scope.machines)
            .map(|number| self.place(u8::try_from(number).expect("there are only a few machines")));
        let (machines, installs) = places.unzip();
        let left = Left {
            reinstalls: self.scope.reinstalls,
            activations: self.scope.activations,
            copies: self.scope.copies,
            images: self.scope.images,
            clearings: self.scope.clearings,
        };
        let (posted, tasks) = (Vec::new(), Vec::new());
        vec![World { tick: 0, installs, machines, posted, tasks, image: None, left, broken: None }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        // The checker itself looks at the time only where it shares its work with others.
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.is_cut.store(true, Ordering::Relaxed);
        } else if world.broken.is_none() {
            self.beginnings(world, events);
            self.deliveries(world, events);
            self.misfortunes(world, events);
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        self.step(world, event)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! keeps {
            ($($promise:ident),+) => {
                vec![$(Property::always(Promise::$promise.text(), |model: &Self, world| {
                    !model.breaks_first(world, Promise::$promise)
                })),+]
            };
        }
        keeps!(
            NonceOnce,
            CounterOnce,
            HighestGrows,
            AcknowledgedIsStored,
            HonestIsTrusted,
            CopyIsSuspected,
            NobodyIsStranded
        )
    }
}
