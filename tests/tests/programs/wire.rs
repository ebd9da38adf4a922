//! The wire between a program and its database: a proxy that counts what goes over it, and that can be cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What went over the wire.
#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    /// Of the server's: each ends what was asked of it, and says that it waits for more.
    ready_for_query: AtomicU64,
    /// Of the client's: statements that stay in the session by their names.
    named_statements: AtomicU64,
}

/// Whether the wire is joined, how often it has forgotten its connections, and how often a client has to ask before it
/// hears the first answer.
#[derive(Clone, Copy)]
struct State {
    is_open: bool,
    forgot: u64,
    held_until: u64,
}

/// A proxy before a database.
pub(crate) struct Wire {
    url: String,
    counts: Arc<Counts>,
    state: watch::Sender<State>,
    _task: JoinSet<()>,
}

impl Wire {
    /// A way to the database that `url` names.
    pub(crate) async fn open_to(url: &str) -> Self {
        let (credentials, place) = url.rsplit_once('@').unwrap();
        let (server, database) = place.split_once('/').unwrap();
        let server: SocketAddr = server.parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("{credentials}@{}/{database}", listener.local_addr().unwrap());
        let counts = Arc::new(Counts::default());
        let (state, seen) = watch::channel(State { is_open: true, forgot: 0, held_until: 0 });
        let mut task = JoinSet::new();
        let counting = counts.clone();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // Who comes while the wire is cut is hung up on.
                if seen.borrow().is_open {
                    connections.spawn(connect(client, server, counting.clone(), seen.clone()));
                }
            }
        });
        Self { url, counts, state, _task: task }
    }

    /// The database's URL by this way.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Cuts it, with every connection, or joins it again.
    pub(crate) fn set_open(&self, is_open: bool) {
        self.state.send_modify(|state| state.is_open = is_open);
    }

    /// Forgets every connection, as a router does: nobody is told, but whoever sends something is hung up on.
    pub(crate) fn forget(&self) {
        self.state.send_modify(|state| state.forgot += 1);
    }

    /// Holds back what the server answers on a connection until it was asked so often: who waits for the first answer
    /// before that never hears it.
    pub(crate) fn hold_until_asked(&self, times: u64) {
        self.state.send_modify(|state| state.held_until = times);
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How often the server was asked, and answered. The start of a connection ends with such an answer, too.
    pub(crate) fn round_trips(&self) -> u64 {
        self.counts.ready_for_query.load(Ordering::SeqCst) - self.connections()
    }

    /// How many statements stay in the session by their names.
    pub(crate) fn named_statements(&self) -> u64 {
        self.counts.named_statements.load(Ordering::SeqCst)
    }
}

async fn connect(
    mut client: TcpStream,
    server: SocketAddr,
    counts: Arc<Counts>,
    mut state: watch::Receiver<State>,
) {
    let mut server = TcpStream::connect(server).await.unwrap();
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    counts.connections.fetch_add(1, Ordering::SeqCst);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let (now, known, held_until) = (state.clone(), state.borrow().forgot, state.borrow().held_until);
    let (asking, was_asked) = watch::channel(0);
    let asked = pass(from_client, to_server, true, None, |kind, body| {
        // Sync ends what is asked.
        if kind == b'S' {
            asking.send_modify(|times| *times += 1);
        }
        // Parse: the statement's name ends with a zero, and is empty where it has none.
        if kind == b'P' && body.first() != Some(&0) {
            counts.named_statements.fetch_add(1, Ordering::SeqCst);
        }
        now.borrow().forgot == known
    });
    let answered = pass(from_server, to_client, false, Some((was_asked, held_until)), |kind, _| {
        if kind == b'Z' {
            counts.ready_for_query.fetch_add(1, Ordering::SeqCst);
        }
        true
    });
    tokio::select! {
        _ = asked => {}
        _ = answered => {}
        _ = state.wait_for(|state| !state.is_open) => {}
    }
}

/// Passes messages on, each after it was seen, until one is not to be: a kind, a length that counts itself, a body. What
/// follows the start of a connection is held until the other side has asked so often.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    has_startup: bool,
    mut held: Option<(watch::Receiver<u64>, u64)>,
    mut see: impl FnMut(u8, &[u8]) -> bool,
) -> std::io::Result<()> {
    let (mut is_startup, mut has_begun) = (has_startup, false);
    loop {
        // The first message of a client has no kind.
        let kind = if is_startup { None } else { Some(from.read_u8().await?) };
        is_startup = false;
        let length = from.read_u32().await?;
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        from.read_exact(&mut body).await?;
        if let Some((asked, times)) = held.as_mut().filter(|_| has_begun) {
            // Who asks hangs up where it asks no more.
            let _ = asked.wait_for(|asked| *asked >= *times).await;
        }
        has_begun |= kind == Some(b'Z');
        if !see(kind.unwrap_or_default(), &body) {
            return Ok(());
        }
        let message = [kind.as_slice(), &length.to_be_bytes(), &body].concat();
        to.write_all(&message).await?;
    }
}
