//! What an event makes of a world.

use qubictether_agent::transport::Answer;

use crate::{
    model::Protocol,
    pool::Id,
    promise::{Posted, Promise, Race},
    scope::Broken,
    seen::Situation,
    server::How,
    wire::{Ask, Wire},
    world::{Event, Fate, Judged, Place, Standing, Task, World},
};

impl World {
    pub(crate) fn place(&self, machine: u8) -> &Place {
        &self.machines[usize::from(machine)]
    }

    fn place_mut(&mut self, machine: u8) -> &mut Place {
        &mut self.machines[usize::from(machine)]
    }

    pub(crate) fn standing(&self, install: u8) -> &Standing {
        &self.installs[usize::from(install)]
    }

    fn standing_mut(&mut self, install: u8) -> &mut Standing {
        &mut self.installs[usize::from(install)]
    }

    fn breaks(&mut self, promise: Promise) {
        self.broken.get_or_insert(promise);
    }

    fn post(&mut self, wire: Id<Wire>) {
        if let Err(place) = self.posted.binary_search_by_key(&wire, |posted| posted.wire) {
            self.posted.insert(place, Posted { wire, accepted: false });
        }
    }

    /// Who waits for an answer to this request.
    fn waiting_for(&self, wire: Id<Wire>) -> Option<u8> {
        (0..).zip(&self.machines).find(|(_, place)| place.waits_for == Some(wire)).map(|(machine, _)| machine)
    }
}

impl Protocol {
    /// The world after an event; `None` where nothing changes, or the scope doesn't have it.
    pub(crate) fn step(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        match event {
            Event::Begin { machine, ask, dies } => self.begin(&mut next, machine, ask, dies)?,
            Event::Deliver { wire, with } => self.deliver(&mut next, wire, with)?,
            Event::Commit { task, fates } => self.commit(&mut next, task, fates)?,
            Event::ServerDies { task } => drop(next.tasks.remove(task)),
            Event::TimesOut(machine) => {
                let place = next.place(machine);
                let step = self.known.hear(place.machine, None, next.tick);
                let place = next.place_mut(machine);
                (place.machine, place.waits_for) = (step.machine, None);
            }
            Event::AgentDies(machine) => {
                let place = next.place_mut(machine);
                (place.machine, place.waits_for) = (self.known.died(place.machine), None);
            }
            Event::Pass => next.tick += 1,
            Event::Copy(machine) => self.copy(&mut next, machine),
            Event::TakeImage(machine) => {
                next.image = Some((machine, self.known.died(next.place(machine).machine)));
            }
            Event::Restore => self.restore(&mut next)?,
            Event::Clear { install, reset } => self.clear(&mut next, install, reset)?,
        }
        self.forget(&mut next);
        if matches!(event, Event::Deliver { .. } | Event::Commit { .. } | Event::Clear { .. }) {
            self.look(&mut next);
        }
        Some(next)
    }

    fn begin(&self, world: &mut World, machine: u8, ask: Ask, dies: bool) -> Option<()> {
        let tick = world.tick;
        let place = world.place_mut(machine);
        let (before, install) = (place.machine, place.install);
        let is_reinstall = ask == Ask::Activate && self.known.machines.at(before).is_activated();
        let step = self.known.begin(before, ask, tick)?;
        place.operations -= 1;
        if is_reinstall {
            world.left.reinstalls -= 1;
        }
        let written_late = self.broken == Some(Broken::CounterAfterSending);
        let place = world.place_mut(machine);
        if dies {
            place.machine = if written_late {
                let began = self.known.machines.at(step.machine);
                let died = self.known.machines.at(before).died_unwritten(&began);
                self.known.machines.put(died)
            } else {
                self.known.died(step.machine)
            };
        } else {
            (place.machine, place.waits_for) = (step.machine, step.sent);
        }
        if let Some(wire) = step.sent {
            self.attempt(world, install, wire);
            if !dies || written_late {
                world.post(wire);
            }
        }
        Some(())
    }

    /// A counter was taken.
    fn attempt(&self, world: &mut World, install: u8, wire: Id<Wire>) {
        if self.known.wires.at(wire).ask != Ask::Activate
            && let Some(race) = &mut world.standing_mut(install).race
        {
            race.attempt();
        }
    }

    fn deliver(&self, world: &mut World, wire: Id<Wire>, with: Option<Id<Wire>>) -> Option<()> {
        let request = self.known.wires.at(wire);
        let install = request.install;
        let Standing { row, revision, .. } = *world.standing(install);
        let verdict = self.known.judge(row, wire, world.tick);
        let Some((row, how)) = verdict.judged else {
            let machine = with.is_none().then(|| world.waiting_for(wire))??;
            self.hear(world, machine, verdict.answer, Fate::Heard);
            return Some(());
        };
        if request.ask == Ask::Activate {
            world.left.activations = world.left.activations.checked_sub(1)?;
        }
        let judged = Judged { wire, answer: verdict.answer, how };
        let mut task = Task::new(install, revision, row, judged);
        if let Some(other) = with {
            self.join(world, &mut task, other)?;
        }
        if world.tasks.len() == self.scope.tasks {
            return None;
        }
        if self.broken == Some(Broken::AnswerBeforeCommit) {
            self.acknowledge(world, install, judged);
            if let Some(machine) = world.waiting_for(wire) {
                self.hear(world, machine, judged.answer, Fate::Heard);
            }
        }
        world.tasks.push(task);
        world.tasks.sort_unstable();
        Some(())
    }

    /// Judges another request by what a task has made of the install. A refusal is answered before the commit.
    fn join(&self, world: &mut World, task: &mut Task, wire: Id<Wire>) -> Option<()> {
        if self.known.wires.at(wire).install != task.install {
            return None;
        }
        let verdict = self.known.judge(Some(task.row), wire, world.tick);
        if let Some((row, how)) = verdict.judged {
            task.join(row, Judged { wire, answer: verdict.answer, how });
        } else {
            let machine = world.waiting_for(wire)?;
            self.hear(world, machine, verdict.answer, Fate::Heard);
        }
        Some(())
    }

    fn commit(&self, world: &mut World, task: usize, fates: [Fate; 2]) -> Option<()> {
        let task = world.tasks.remove(task);
        let standing = world.standing_mut(task.install);
        if standing.revision != task.revision && self.broken != Some(Broken::RevisionUnchecked) {
            // It is judged again: the requests are there still.
            self.known.seen.add(Situation::Overtaken);
            return (fates == [Fate::Lost; 2]).then_some(());
        }
        let high = |row| self.known.installs.at(row).replay.high();
        let before = standing.row.replace(task.row).map_or(0, high);
        standing.revision += 1;
        let is_activation = task.judged().any(|judged| matches!(judged.how, How::Activated | How::Retried));
        if high(task.row) < before && !is_activation {
            world.breaks(Promise::HighestGrows);
        }
        for (judged, fate) in task.judged().zip(fates) {
            if self.broken != Some(Broken::AnswerBeforeCommit) {
                self.acknowledge(world, task.install, judged);
            }
            if let Some(machine) = world.waiting_for(judged.wire)
                && fate != Fate::Lost
            {
                self.hear(world, machine, judged.answer, fate);
            }
        }
        Some(())
    }

    /// An answer goes out: from here on what it says has to hold.
    fn acknowledge(&self, world: &mut World, install: u8, judged: Judged) {
        let wire = self.known.wires.at(judged.wire);
        if matches!(judged.how, How::Activated | How::Retried) {
            let standing = world.standing_mut(install);
            standing.acknowledged.clear();
            standing.race = None;
            return;
        }
        if let Ok(place) = world.posted.binary_search_by_key(&judged.wire, |posted| posted.wire)
            && std::mem::replace(&mut world.posted[place].accepted, true)
        {
            world.breaks(Promise::NonceOnce);
        }
        let standing = world.standing_mut(install);
        if judged.how == How::Accepted && !standing.acknowledged.add(wire.counter()) {
            world.breaks(Promise::CounterOnce);
        }
        let standing = world.standing_mut(install);
        let row = standing.row.map(|row| self.known.installs.at(row));
        if row.is_some_and(|row| row.clone_suspected_at.is_some()) {
            standing.race = None;
        } else if let Some(race) = &mut standing.race
            && !race.judged(wire.sender, wire.counter())
        {
            world.breaks(Promise::CopyIsSuspected);
        }
    }

    fn hear(&self, world: &mut World, machine: u8, answer: Id<Answer>, fate: Fate) {
        let place = world.place(machine);
        let (before, install) = (place.machine, place.install);
        let step = self.known.hear(before, Some(answer), world.tick);
        let place = world.place_mut(machine);
        (place.machine, place.waits_for) = (step.machine, step.sent);
        if fate == Fate::HeardBeforeDeath {
            let (heard, before) = (self.known.machines.at(step.machine), self.known.machines.at(before));
            place.machine = self.known.machines.put(heard.remembering(&before));
        }
        if let Some(wire) = step.sent {
            self.attempt(world, install, wire);
            world.post(wire);
        }
    }

    fn copy(&self, world: &mut World, machine: u8) {
        let name = u8::try_from(world.machines.len()).expect("there are only a few machines");
        let Place { machine, install, .. } = *world.place(machine);
        let original = self.known.machines.at(machine);
        world.left.copies -= 1;
        world.machines.push(Place {
            machine: self.known.machines.put(original.copied(name)),
            install,
            waits_for: None,
            operations: self.scope.copy_operations,
            is_copy: true,
        });
        let standing = world.standing_mut(install);
        standing.tainted = true;
        standing.race = Some(Race::from(original.counter()));
    }

    fn restore(&self, world: &mut World) -> Option<()> {
        let (machine, image) = world.image.take()?;
        world.left.images -= 1;
        let place = world.place_mut(machine);
        let folder = &self.known.machines.at(image).folder;
        let current = self.known.machines.at(place.machine);
        if current.folder == *folder {
            return None;
        }
        place.machine = self.known.machines.put(current.restored(folder));
        place.waits_for = None;
        let install = place.install;
        world.standing_mut(install).tainted = true;
        Some(())
    }

    fn clear(&self, world: &mut World, install: u8, reset: bool) -> Option<()> {
        world.left.clearings -= 1;
        let is_over = self.is_over(world, install, reset);
        let standing = world.standing_mut(install);
        let mut row = (*self.known.installs.at(standing.row?)).clone();
        row.clone_suspected_at = None;
        if reset {
            (row.secrets, row.next_reactivation_free) = (None, true);
            row.reactivations.clear();
        }
        standing.row = Some(self.known.installs.put(row));
        standing.revision += 1;
        if is_over {
            standing.tainted = false;
            self.known.seen.add(Situation::Cleared);
        }
        Some(())
    }

    /// Whether what an old image did is over when the operator clears the suspicion: nobody else holds its secret, and
    /// by a reset that died, or the agent has caught up and nothing from before is on its way.
    fn is_over(&self, world: &World, install: u8, reset: bool) -> bool {
        let mut places = world.machines.iter().filter(|place| place.install == install);
        let Some(row) = world.standing(install).row else { return false };
        let high = self.known.installs.at(row).replay.high();
        let is_on_its_way = |posted: &Posted| {
            let wire = self.known.wires.at(posted.wire);
            wire.install == install && !posted.accepted
        };
        places.all(|place| {
            let has_caught_up = self.known.machines.at(place.machine).counter() >= high;
            !place.is_copy && (reset || place.waits_for.is_none() && has_caught_up)
        }) && (reset || !world.posted.iter().any(is_on_its_way))
    }

    /// Forgets the requests that will never do anything again.
    fn forget(&self, world: &mut World) {
        if self.broken == Some(Broken::RevisionUnchecked) {
            return; // What is overwritten may come back.
        }
        let World { posted, machines, installs, tasks, left, tick, .. } = world;
        posted.retain(|Posted { wire, .. }| {
            let request = self.known.wires.at(*wire);
            let is_held = machines.iter().any(|place| place.waits_for == Some(*wire))
                || tasks.iter().any(|task| task.judged().any(|judged| judged.wire == *wire));
            let may_serve = match (request.ask, installs[usize::from(request.install)].row) {
                (Ask::Activate, _) => left.activations > 0,
                (_, Some(row)) => self.known.is_served(row, *wire, *tick),
                (_, None) => false,
            };
            is_held || may_serve
        });
    }

    /// Looks at what must hold of every install.
    fn look(&self, world: &mut World) {
        let broken = world.installs.iter().find_map(|standing| {
            let row = standing.row?;
            let is_suspected = self.known.installs.at(row).clone_suspected_at.is_some();
            let is_stored = |counter| self.known.is_stored(row, counter, world.tick);
            if is_suspected && !standing.tainted {
                Some(Promise::HonestIsTrusted)
            } else if !standing.acknowledged.counters().all(is_stored) {
                Some(Promise::AcknowledgedIsStored)
            } else {
                None
            }
        });
        world.broken = world.broken.or(broken);
    }
}
