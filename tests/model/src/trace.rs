//! A way from the beginning to a world, in sentences.

use crate::{
    install::Install,
    model::Protocol,
    pool::Id,
    server::How,
    wire::{Ask, Wire},
    world::{Event, Fate, Standing, Task, World},
};

impl Protocol {
    /// A numbered line for every event, and what the installs are in the end.
    pub(crate) fn told(&self, path: Vec<(World, Option<Event>)>) -> String {
        let mut text = String::new();
        let mut worlds = (1..).zip(path).peekable();
        while let Some((number, (world, event))) = worlds.next() {
            let line = if let (Some(event), Some((_, (next, _)))) = (event, worlds.peek()) {
                format!("  {number:>2}. {}", self.event(&world, event, next))
            } else {
                let rows = (0..).zip(&world.installs).map(|(install, Standing { row, .. })| {
                    let row = row.map_or_else(|| "not activated".into(), |row| self.row(row));
                    format!("install {install}: {row}")
                });
                format!("      {}", rows.collect::<Vec<_>>().join("; "))
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    fn event(&self, world: &World, event: Event, next: &World) -> String {
        match event {
            Event::Begin { machine, ask, dies } => {
                let counter = self.known.machines.at(next.place(machine).machine).counter();
                let what = match ask {
                    Ask::Activate => "an activation".to_owned(),
                    Ask::Beat => format!("a beat, counter {counter} on its disk"),
                    Ask::Rekey => format!("a rekey, counter {counter} on its disk"),
                };
                let end = if dies { ", and dies between writing and sending" } else { "" };
                format!("{} begins {what}{end}", name(machine))
            }
            Event::Deliver { wire, with } => {
                let mut row = world.standing(self.known.wires.at(wire).install).row;
                let mut told = Vec::new();
                for wire in [Some(wire), with].into_iter().flatten() {
                    let verdict = self.known.judge(row, wire, world.tick);
                    let status = self.known.answers.at(verdict.answer).status;
                    told.push(match verdict.judged {
                        None => format!(
                            "{} reaches a process, which refuses it with {status}",
                            self.request(wire)
                        ),
                        Some((after, how)) => {
                            row = Some(after);
                            let (request, how, after) = (self.request(wire), judged(how), self.row(after));
                            format!("{request} reaches a process, which judges it {how}: {after}")
                        }
                    });
                }
                told.join("; with it ")
            }
            Event::Commit { task, fates } => {
                let task = &world.tasks[task];
                if next.standing(task.install).revision == world.standing(task.install).revision {
                    return format!("{} can't be committed: the install has changed", self.requests(task));
                }
                let tell = |fate: &Fate| match fate {
                    Fate::Lost => "is lost",
                    Fate::Heard => "is heard",
                    Fate::HeardBeforeDeath => "is heard, and the agent dies before it forgets what it asked",
                };
                let answers: Vec<_> = task.judged().zip(&fates).map(|(_, fate)| tell(fate)).collect();
                let row = next.standing(task.install).row.map(|row| self.row(row)).unwrap_or_default();
                format!(
                    "{} is committed ({row}); the answer {}",
                    self.requests(task),
                    answers.join(", the other ")
                )
            }
            Event::ServerDies { task } => {
                format!("the process dies before it commits {}", self.requests(&world.tasks[task]))
            }
            Event::TimesOut(machine) => format!("{} waits no longer", name(machine)),
            Event::AgentDies(machine) => format!("{} dies while it waits", name(machine)),
            Event::Pass => "five minutes pass".into(),
            Event::Copy(machine) => {
                let copy = u8::try_from(world.machines.len()).unwrap_or_default();
                format!("{}'s folder is copied: {} runs with it", name(machine), name(copy))
            }
            Event::TakeImage(machine) => format!("an image of {}'s folder is taken", name(machine)),
            Event::Restore => "the image is restored".into(),
            Event::Clear { install, reset } => {
                let how = if reset { "resets" } else { "rebinds" };
                format!("the operator {how} install {install}")
            }
        }
    }

    fn requests(&self, task: &Task) -> String {
        let requests: Vec<_> = task.judged().map(|judged| self.request(judged.wire)).collect();
        requests.join(" and ")
    }

    fn request(&self, wire: Id<Wire>) -> String {
        let wire = self.known.wires.at(wire);
        let sender = name(wire.sender);
        match wire.ask {
            Ask::Activate => format!("{sender}'s activation"),
            Ask::Beat => format!("{sender}'s beat {}", wire.counter()),
            Ask::Rekey => format!("{sender}'s rekey {}", wire.counter()),
        }
    }

    fn row(&self, row: Id<Install>) -> String {
        let install = self.known.installs.at(row);
        let high = install.replay.high();
        let window = install.replay.window_bytes();
        let is_marked =
            |behind: &u64| usize::try_from(*behind).is_ok_and(|at| window[31 - at / 8] >> (at % 8) & 1 == 1);
        let accepted: Vec<_> = (0..high.min(256)).filter(is_marked).map(|behind| high - behind).collect();
        let secrets = install.secrets.as_ref().map_or(0, |secrets| secrets.iter().count());
        let suspected = if install.clone_suspected_at.is_some() { ", suspected" } else { "" };
        let plural = if secrets == 1 { "" } else { "s" };
        format!("highest {high}, accepted {accepted:?}, {secrets} secret{plural}{suspected}")
    }
}

fn judged(how: How) -> &'static str {
    match how {
        How::Accepted => "as accepted",
        How::Fork => "as a fork",
        How::Activated => "as an activation",
        How::Retried => "as a retried activation",
    }
}

/// A, B, and so on.
fn name(machine: u8) -> char {
    char::from(b'A' + machine)
}
