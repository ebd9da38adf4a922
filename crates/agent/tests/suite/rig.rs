//! An agent, its machine, its state folder and its server.

use std::{fs, path::PathBuf, sync::Arc};

use protocol::ambient::SeededRandom;
use qubictether_agent::{
    Agent, Builder, Error, LicenseKey, Settings, Status, fingerprint::Source, transport::Transport,
};
use serde_json::Value;

use crate::{
    machine::HandClocks,
    server::{ISSUER, LICENSE_KEY, NOW, Server, product},
};

pub(crate) const WEEK: u64 = 604_800;

pub(crate) struct Rig {
    folder: tempfile::TempDir,
    pub(crate) server: Arc<Server>,
    pub(crate) clocks: Arc<HandClocks>,
    pub(crate) agent: Agent,
}

impl Rig {
    /// A machine that isn't activated.
    pub(crate) fn new() -> Self {
        Self::with(|builder, _| builder)
    }

    pub(crate) fn with(build: impl FnOnce(Builder, &Arc<Server>) -> Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("components.json"), r#"{"dongle": "17"}"#).unwrap();
        let (server, clocks) = (Arc::new(Server::new()), Arc::new(HandClocks::at(NOW)));
        let mut settings =
            Settings::new(ISSUER.parse().unwrap(), product(), server.books().root.public().clone());
        settings.fingerprint = Source::File(folder.path().join("components.json"));
        let builder = Agent::builder(settings)
            .transport(server.clone())
            .clocks(clocks.clone())
            .random(Arc::new(SeededRandom::new(1)));
        let agent = build(builder, &server).open(folder.path().join("state"));
        Self { folder, server, clocks, agent }
    }

    /// A machine that is activated.
    pub(crate) async fn activated() -> Self {
        let rig = Self::new();
        rig.activate().await.unwrap();
        rig
    }

    /// Another process of the same machine, with the same state folder.
    pub(crate) fn another(&self, seed: u64) -> Agent {
        self.another_over(seed, self.server.clone())
    }

    /// Another process, with a server of its own.
    pub(crate) fn another_over(&self, seed: u64, transport: Arc<dyn Transport>) -> Agent {
        let mut settings =
            Settings::new(ISSUER.parse().unwrap(), product(), self.server.books().root.public().clone());
        settings.fingerprint = Source::File(self.folder.path().join("components.json"));
        Agent::builder(settings)
            .transport(transport)
            .clocks(self.clocks.clone())
            .random(Arc::new(SeededRandom::new(seed)))
            .open(self.state())
    }

    pub(crate) async fn activate(&self) -> Result<Status, Error> {
        self.agent.activate(&license_key()).await
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.state().join(name)
    }

    /// What is kept on disk.
    pub(crate) fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file("state.json")).unwrap()).unwrap()
    }

    pub(crate) fn counter(&self) -> u64 {
        self.record()["install"]["counter"].as_u64().unwrap()
    }

    pub(crate) fn secrets(&self) -> Vec<Value> {
        self.record()["install"]["secrets"].as_array().unwrap().clone()
    }

    /// State, rule and reason.
    pub(crate) fn position(&self) -> (String, u8, String) {
        let status = self.agent.status().unwrap();
        (status.state.unwrap().to_string(), status.rule.unwrap(), status.reason.unwrap())
    }

    /// A machine that is activated and holds a lease of a week.
    pub(crate) async fn leased() -> Self {
        let rig = Self::activated().await;
        rig.agent.take_lease(WEEK).await.unwrap();
        rig
    }

    /// The machine shows other components from now on.
    pub(crate) fn show(&self, components: &str) {
        fs::write(self.folder.path().join("components.json"), components).unwrap();
    }

    /// State and reason.
    pub(crate) fn word(&self) -> String {
        let (state, _, reason) = self.position();
        format!("{state} {reason}")
    }

    /// Time passes, here and on the server.
    pub(crate) fn pass(&self, seconds: i64) {
        self.clocks.pass(seconds);
        self.server.books().clock.advance(seconds);
    }
}

pub(crate) fn license_key() -> LicenseKey {
    LicenseKey::parse(LICENSE_KEY).unwrap()
}
