use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use protocol::{
    InstanceId, LicenseKey,
    ambient::{self, OsRandom, Random},
    proof::Operation,
    request::{ActivateRequest, AgentInfo, HeartbeatRequest},
    response::CompactJose,
};
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    Error,
    activation::Activation,
    clock::{Clocks, SystemClocks},
    core::Core,
    exchange::{Exchange, Step},
    folder::{ACTIVATION, Folder, Locked, RECORD, SETTINGS},
    http::HttpTransport,
    schedule::{self, Schedule},
    settings::Settings,
    status::Status,
    transport::{Request, Transport},
    view::View,
};

/// No operation takes longer, with all that it fetches.
const LONGEST: Duration = Duration::from_mins(2);

/// What an agent is made of. Everything but the settings has a default.
#[must_use = "a builder does nothing until it opens an agent"]
pub struct Builder {
    settings: Settings,
    version: String,
    name: Option<String>,
    license_key: Option<LicenseKey>,
    keep_key: bool,
    machine: PathBuf,
    transport: Option<Arc<dyn Transport>>,
    clocks: Option<Arc<dyn Clocks>>,
    random: Arc<dyn Random>,
}

impl Builder {
    /// The version of the licensed program, Semantic Versioning, 1 to 64 characters: enforcement profiles may ask for a least
    /// one. Otherwise this crate's own.
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// What people call the machine, 1 to 128 characters. Otherwise nothing is told.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// A license key to activate with whenever that is needed.
    pub fn license_key(mut self, key: LicenseKey) -> Self {
        self.license_key = Some(key);
        self
    }

    /// Keeps the license key of an activation in the state folder, readable by its owner only, so that the agent can
    /// activate again by itself later.
    pub fn keep_license_key(mut self, keep: bool) -> Self {
        self.keep_key = keep;
        self
    }

    /// Where the machine's files are, for fingerprints: `/`, unless a test shows another machine.
    pub fn machine(mut self, root: impl Into<PathBuf>) -> Self {
        self.machine = root.into();
        self
    }

    /// Another way to the server than HTTP of its own.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Other clocks than the machine's.
    pub fn clocks(mut self, clocks: Arc<dyn Clocks>) -> Self {
        self.clocks = Some(clocks);
        self
    }

    /// Another random generator than the operating system's.
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// The agent of a state folder, which is made when it is first needed. Nothing is read yet.
    pub fn open(self, state: impl Into<PathBuf>) -> Agent {
        let instance = InstanceId::from_bytes(ambient::array(&*self.random));
        let clocks = self.clocks.unwrap_or_else(|| Arc::new(SystemClocks::new(&instance.to_string())));
        let transport = self
            .transport
            .unwrap_or_else(|| Arc::new(HttpTransport::new(self.settings.server.clone(), &self.version)));
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        let folder = Folder::at(state.into());
        let view = View { settings: self.settings, folder, clocks, machine: self.machine };
        let (status, _) = watch::channel(None);
        Agent {
            view: Arc::new(view),
            transport,
            random: self.random,
            info: AgentInfo { version: self.version, platform },
            name: self.name,
            license_key: self.license_key,
            keep_key: self.keep_key,
            instance,
            plan: Mutex::default(),
            status,
        }
    }
}

/// When to beat next.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    schedule: Schedule,
    /// On the monotonic clock, in milliseconds.
    due_ms: i64,
}

/// An agent: one machine's activation, kept in a state folder.
///
/// Several processes may use one folder at a time; each attempt is made under a lock.
pub struct Agent {
    pub(crate) view: Arc<View>,
    transport: Arc<dyn Transport>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) info: AgentInfo,
    name: Option<String>,
    license_key: Option<LicenseKey>,
    keep_key: bool,
    pub(crate) instance: InstanceId,
    plan: Mutex<Plan>,
    status: watch::Sender<Option<Status>>,
}

impl Agent {
    /// An agent with these settings.
    pub fn builder(settings: Settings) -> Builder {
        Builder {
            settings,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: None,
            license_key: None,
            keep_key: false,
            machine: PathBuf::from("/"),
            transport: None,
            clocks: None,
            random: Arc::new(OsRandom),
        }
    }

    /// What holds now, from the state folder alone. Where nobody saved the time for a minute, this does: otherwise it
    /// would stand still on a machine whose wall clock does, and on which nothing but this is ever asked.
    pub fn status(&self) -> Result<Status, Error> {
        let core = self.view.load()?;
        let reading = self.view.clocks.read();
        if core.install().is_some_and(|install| install.time.is_stale(&reading)) {
            // Who may only read the folder sees what holds as well.
            let _kept = self.save_time();
        }
        Ok(self.view.status_of(&core, &reading))
    }

    /// The newest verified token, for whoever wants to check it himself.
    pub fn token(&self) -> Result<Option<CompactJose>, Error> {
        self.view.token()
    }

    /// Whatever status is published next: by every operation of this agent, and by [`run`](Self::run) when a rung is
    /// reached.
    pub fn subscribe(&self) -> watch::Receiver<Option<Status>> {
        self.status.subscribe()
    }

    /// Activates this machine, or activates it again. A repetition within ten minutes of an attempt whose answer was
    /// lost counts as that attempt.
    pub async fn activate(&self, key: &LicenseKey) -> Result<Status, Error> {
        self.view.folder.create()?;
        let locked = self.view.folder.lock().await?;
        let mut core = self.view.load()?;
        let result = self.enrol(&locked, &mut core, key).await;
        self.planned(&locked, &mut core, result)
    }

    /// Beats once. If the server knows this install no more and a license key is held, activates again.
    pub async fn beat(&self) -> Result<Status, Error> {
        let (locked, mut core) = self.lock_activated().await?;
        let result = match self.heartbeat(&locked, &mut core).await {
            Err(Error::ActivationNeeded) => match self.held_key()? {
                Some(key) => self.enrol(&locked, &mut core, &key).await,
                None => Err(Error::ActivationNeeded),
            },
            result => result,
        };
        self.planned(&locked, &mut core, result)
    }

    /// Gets a new secret. The one before it is kept until the new one has been heard to serve, at the next beat.
    pub async fn rekey(&self) -> Result<Status, Error> {
        let (locked, mut core) = self.lock_activated().await?;
        let result = self.prove(&locked, &mut core, Operation::Rekey, None).await;
        self.conclude(&locked, &mut core, result)
    }

    /// Gives the seat back and forgets the secret, and the license key if it was kept.
    pub async fn deactivate(&self) -> Result<Status, Error> {
        let (locked, mut core) = self.lock_activated().await?;
        let result = self.prove(&locked, &mut core, Operation::Deactivate, None).await;
        if result.is_ok() {
            locked.remove_license_key()?;
        }
        self.conclude(&locked, &mut core, result)
    }

    /// The license key that the agent may activate with: the one it was given, or the one that was kept.
    pub(crate) fn held_key(&self) -> Result<Option<LicenseKey>, Error> {
        if self.license_key.is_some() {
            return Ok(self.license_key.clone());
        }
        self.view.folder.license_key()
    }

    /// When the next attempt is due, on the monotonic clock in milliseconds.
    pub(crate) fn due_ms(&self) -> i64 {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).due_ms
    }

    pub(crate) fn publish(&self, status: &Status) {
        self.status.send_replace(Some(status.clone()));
    }

    pub(crate) async fn lock_activated(&self) -> Result<(Locked<'_>, Core), Error> {
        // A folder that isn't there isn't made, not even for its lock.
        self.view.load()?.install().ok_or(Error::NotActivated)?;
        let locked = self.view.folder.lock().await?;
        let core = self.view.load()?;
        core.install().ok_or(Error::NotActivated)?;
        Ok((locked, core))
    }

    async fn enrol(&self, locked: &Locked<'_>, core: &mut Core, key: &LicenseKey) -> Result<(), Error> {
        let reading = self.view.clocks.read();
        let product = &self.view.settings.product;
        let pending = self.view.folder.read::<Activation>(ACTIVATION).ok().flatten();
        let activation = Activation::resume(pending, product, key, &reading, &*self.random);
        let request = ActivateRequest {
            license_key: key.into(),
            nonce: activation.nonce(),
            instance_id: self.instance,
            name: self.name.clone(),
            fingerprint: self.view.fingerprint()?,
            agent: self.info.clone(),
        };
        locked.write(ACTIVATION, &activation)?;
        let (mut exchange, request) = Exchange::activate(activation.nonce(), to_json(&request));
        let result = self.converse(locked, core, &mut exchange, request).await;
        if result.is_ok() {
            self.keep_settings(locked, key)?;
            // What came of the activation is on the disk before the activation is forgotten: else a crash would make
            // the next one a reinstall.
            locked.write(RECORD, &core.record())?;
        }
        if Activation::is_ended_by(&result) {
            locked.remove(ACTIVATION)?;
        }
        result
    }

    /// Keeps what later commands need not be told again.
    pub(crate) fn keep_settings(&self, locked: &Locked<'_>, key: &LicenseKey) -> Result<(), Error> {
        locked.write(SETTINGS, &self.view.settings)?;
        if self.keep_key { locked.write_license_key(&key.printed()) } else { Ok(()) }
    }

    async fn heartbeat(&self, locked: &Locked<'_>, core: &mut Core) -> Result<(), Error> {
        let body = Some(to_json(&self.observation()?));
        self.prove(locked, core, Operation::Heartbeat, body).await
    }

    /// What a heartbeat says.
    pub(crate) fn observation(&self) -> Result<HeartbeatRequest, Error> {
        Ok(HeartbeatRequest {
            instance_id: self.instance,
            fingerprint: self.view.fingerprint()?,
            agent: self.info.clone(),
            clock: self.view.clocks.read().into(),
        })
    }

    pub(crate) async fn prove(
        &self,
        locked: &Locked<'_>,
        core: &mut Core,
        operation: Operation,
        body: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        // A crash may have left one.
        let pending = self.view.folder.read::<Activation>(ACTIVATION).ok().flatten();
        if pending.is_some_and(|pending| pending.is_answered_by(core.claims())) {
            locked.remove(ACTIVATION)?;
        }
        let reading = self.view.clocks.read();
        let (mut exchange, request) = Exchange::prove(core, operation, body, &reading, &*self.random)?;
        self.converse(locked, core, &mut exchange, request).await
    }

    /// Sends what the exchange wants sent, until it is done.
    async fn converse(
        &self,
        locked: &Locked<'_>,
        core: &mut Core,
        exchange: &mut Exchange,
        mut request: Request,
    ) -> Result<(), Error> {
        let conversation = async {
            loop {
                // INVARIANT(counter): it is on the disk before it is sent, so that a crash never reuses one.
                locked.write(RECORD, &core.record())?;
                let answer = self.transport.send(request).await;
                match exchange.hear(core, answer, &self.view.clocks.read(), &*self.random) {
                    Step::Send(next) => request = next,
                    Step::Done(result) => return result,
                }
            }
        };
        tokio::time::timeout(LONGEST, conversation).await.unwrap_or(Err(Error::TimedOut))
    }

    /// Plans the next attempt, and concludes this one.
    fn planned(
        &self,
        locked: &Locked<'_>,
        core: &mut Core,
        result: Result<(), Error>,
    ) -> Result<Status, Error> {
        let interval = core.install().map_or(schedule::DEFAULT_INTERVAL, |install| install.interval);
        let delay_ms = self.plan(interval, result.as_ref().err());
        let reading = self.view.clocks.read();
        if let Ok(install) = core.install_mut() {
            install.next_heartbeat_at = install.time.at(&reading).unix().saturating_add(delay_ms / 1000);
        }
        self.conclude(locked, core, result)
    }

    /// Plans the next attempt after a success or a failure; gives the delay in milliseconds.
    fn plan(&self, interval: u64, failure: Option<&Error>) -> i64 {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let delay_ms = match failure {
            None => plan.schedule.after_success(interval, &*self.random),
            Some(error) => plan.schedule.after_failure(interval, error.retry_after(), &*self.random),
        };
        let delay_ms = i64::try_from(delay_ms).unwrap_or(i64::MAX);
        plan.due_ms = self.view.clocks.read().monotonic_ms.saturating_add(delay_ms);
        delay_ms
    }

    /// Plans another attempt after one that failed before it came to be planned.
    pub(crate) fn plan_again(&self, failure: &Error) {
        if self.due_ms() <= self.view.clocks.read().monotonic_ms {
            self.plan(schedule::DEFAULT_INTERVAL, Some(failure));
        }
    }

    /// Keeps and publishes what came of an operation.
    pub(crate) fn conclude(
        &self,
        locked: &Locked<'_>,
        core: &mut Core,
        result: Result<(), Error>,
    ) -> Result<Status, Error> {
        let reading = self.view.clocks.read();
        core.last_error = result.as_ref().err().map(Error::in_one_line);
        core.keep_time(&reading);
        let status = self.view.status_of(core, &reading);
        locked.write(RECORD, &core.record())?;
        locked.show(&status)?;
        self.publish(&status);
        result.map(|()| status)
    }
}

pub(crate) fn to_json(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).expect("a request is a struct of plain values")
}
