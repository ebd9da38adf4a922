use std::{convert::Infallible, pin::pin, time::Duration};

use crate::{
    Agent, Error,
    folder::RECORD,
    ladder, socket,
    status::{Said, Status},
};

/// For how long at most nothing is looked at: timers may stand still while the machine sleeps.
const MINUTE_MS: i64 = 60_000;

impl Agent {
    /// Beats until `shutdown` resolves, activating first if that is needed and a license key is held. Reports every
    /// answer and every change of state, and serves the socket in the state folder.
    ///
    /// What can pass is tried again. What can't ends the run: no activation and no key, a folder that holds something
    /// else, another run in the same folder.
    pub async fn run(
        &self,
        shutdown: impl Future<Output = ()>,
        mut report: impl FnMut(&Status),
    ) -> Result<(), Error> {
        if self.view.load()?.install().is_none() && self.held_key()?.is_none() {
            return Err(Error::NotActivated);
        }
        self.view.folder.create()?;
        let _place = self.view.folder.lock_run()?;
        let ended = tokio::select! {
            biased;
            () = shutdown => Ok(()),
            Err(error) = self.live(&mut report) => Err(error),
            () = socket::serve(&self.view) => Ok(()),
        };
        // The next start then knows better how long the machine was off.
        ended.and_then(|()| self.save_time())
    }

    async fn live(&self, report: &mut impl FnMut(&Status)) -> Result<Infallible, Error> {
        let mut said = self.status()?.position();
        let mut due_ms = i64::MIN;
        loop {
            let turn = async move {
                self.rest(due_ms).await;
                self.attempt().await
            };
            let mut turn = pin!(turn);
            let heard = loop {
                // A rung is also reached while an answer is being waited for.
                let status = tokio::select! {
                    biased;
                    heard = &mut turn => break heard?,
                    changed = self.change(&said) => changed?,
                };
                self.tell(&status)?;
                report(&status);
                said = status.position();
            };
            report(&heard);
            said = heard.position();
            due_ms = self.due_ms();
        }
    }

    /// Waits until an attempt is due.
    async fn rest(&self, due_ms: i64) {
        loop {
            let left = due_ms.saturating_sub(self.view.clocks.read().monotonic_ms);
            if left <= 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(left.min(MINUTE_MS).unsigned_abs())).await;
        }
    }

    /// Waits until something else holds than what was said. Saves the time once a minute.
    async fn change(&self, said: &Said) -> Result<Status, Error> {
        loop {
            let core = self.view.load()?;
            let reading = self.view.clocks.read();
            let status = self.view.status_of(&core, &reading);
            if status.position() != *said {
                return Ok(status);
            }
            let mut wait_ms = MINUTE_MS.unsigned_abs();
            if let (Some(install), Some(verdict)) = (core.install(), core.verdict()) {
                if install.time.is_stale(&reading) {
                    self.save_time()?;
                }
                let time = install.time.at(&reading);
                if let Some(rung) = ladder::next_rung(verdict.ladder, &time) {
                    wait_ms = wait_ms.min(time.until_ms(rung)).max(1);
                }
            }
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }

    /// Beats, or activates where that is needed first. Gives what holds then, also where the attempt failed.
    async fn attempt(&self) -> Result<Status, Error> {
        let is_activated = self.view.load()?.install().is_some();
        let result = match (is_activated, self.held_key()?) {
            (true, _) => self.beat().await,
            (false, Some(key)) => self.activate(&key).await,
            (false, None) => Err(Error::NotActivated),
        };
        match result {
            Err(error) if error.is_transient() => {
                self.plan_again(&error);
                Ok(Status { last_error: Some(error.in_one_line()), ..self.status()? })
            }
            result => result,
        }
    }

    /// Publishes a change that came by itself. Who holds the folder meanwhile shows what holds when he is done.
    fn tell(&self, status: &Status) -> Result<(), Error> {
        self.publish(status);
        let show = || self.view.folder.try_lock()?.map_or(Ok(()), |locked| locked.show(status));
        show().or_else(Error::pass)
    }

    /// Saves the time. Who holds the folder meanwhile saves it when he is done.
    pub(crate) fn save_time(&self) -> Result<(), Error> {
        let save = || {
            let Some(locked) = self.view.folder.try_lock()? else { return Ok(()) };
            let mut core = self.view.load()?;
            core.keep_time(&self.view.clocks.read());
            locked.write(RECORD, &core.record())
        };
        save().or_else(Error::pass)
    }
}
