//! A database of a size, and a server over it.

use std::{path::Path, rc::Rc, sync::Arc, time::Instant};

use cluster::Cluster;
use keyring::LocalProvider;
use protocol::{
    InstallId, ProductCode, Secret,
    ambient::{OsRandom, SystemClock},
    response::{ActivateResponse, CompactJose},
};
use store::{
    Database as Pool, Store,
    fleet::{Fleet, Member},
};

use crate::{
    clock::ServerClock,
    error::Error,
    heartbeat::{
        pgbench::Database,
        server::{Operator, Server},
    },
    install::{Install, Machine},
    swarm::Swarm,
    target::Target,
};

/// How many connections fill a database.
const CONNECTIONS: usize = 6;

/// A database with a fleet in it, of which some beat, and its server.
pub(crate) struct Site {
    pub(crate) database: Database,
    pub(crate) store: Store,
    pub(crate) server: Server,
    pub(crate) target: Rc<Target>,
    pub(crate) api_key: String,
    pub(crate) swarm: Rc<Swarm>,
    /// Those that beat.
    pub(crate) members: Vec<InstallId>,
    pub(crate) fleet: Fleet,
    /// How long it took to make.
    pub(crate) fill_seconds: f64,
}

impl Site {
    pub(crate) async fn make(
        cluster: &Cluster,
        name: &str,
        folder: &Path,
        fleet: Fleet,
        swarm: usize,
    ) -> Result<Self, Error> {
        Database::of(cluster, "postgres", folder)?.sql(&format!("CREATE DATABASE {name}")).await?;
        let database = Database::of(cluster, name, folder)?;
        let operator = Operator::find(cluster.url(name), folder)?;
        operator.set_up(0, 0).await?;
        let api_key = operator.api_key().await?;
        let random = Arc::new(OsRandom);
        let provider = LocalProvider::open(&operator.kek_file(), random.clone())?;
        let pool = Pool::new(operator.database_url(), CONNECTIONS)?;
        let store = Store::open(pool, Arc::new(provider), Arc::new(SystemClock), random).await?;

        let product: ProductCode = "bench".parse().expect("a product code");
        let machines: Vec<Machine> = (0..swarm).map(|_| Machine::random(&product, &OsRandom)).collect();
        let members: Vec<Member> = machines
            .iter()
            .map(|machine| Member { bound: machine.fingerprint().clone(), secret: Secret::random(&OsRandom) })
            .collect();
        let begin = Instant::now();
        let joined = store.make_fleet(fleet, &members).await?;
        let fill_seconds = begin.elapsed().as_secs_f64();
        let installs: Vec<Install> = joined
            .iter()
            .zip(machines.into_iter().zip(&members))
            .map(|(&(install_id, license_id), (machine, member))| {
                machine.activated(ActivateResponse {
                    install_id,
                    license_id,
                    secret: member.secret.clone(),
                    counter: 0,
                    state: policy::State::Authorized,
                    next_heartbeat_in: 300,
                    server_time: 0,
                    token: CompactJose(String::new()),
                })
            })
            .collect();

        let server = operator.serve().await?;
        let target = Rc::new(Target::parse(&server.url)?);
        let clock = ServerClock::new();
        clock.set(store.clock().unix_seconds());
        let swarm = Swarm::new(target.clone(), Rc::new(clock), Rc::new(OsRandom), None, installs);
        let members = joined.into_iter().map(|(install, _)| install).collect();
        Ok(Self { database, store, server, target, api_key, swarm, members, fleet, fill_seconds })
    }

    /// What a statement finds, as a number.
    pub(crate) async fn number(&self, statement: &str) -> Result<i64, Error> {
        let found = self.database.sql(statement).await?;
        let what = || Error::Program { name: "psql".to_owned(), what: format!("{statement}: {found}") };
        found.trim().parse().map_err(|_| what())
    }
}
