//! A database that is far away: whatever goes to it or comes from it is under way for a while.

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::spawn_local,
    time::{Instant, sleep_until},
};

use crate::error::Error;

/// The road to a server. It is as long for every byte, so what is sent together arrives together.
#[derive(Debug)]
pub(crate) struct Far {
    /// Where whoever takes this road connects to.
    pub(crate) address: SocketAddr,
    one_way: Rc<Cell<Duration>>,
}

impl Far {
    /// A road to `server`, at first of no length.
    pub(crate) async fn to(server: SocketAddr) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let far = Self { address: listener.local_addr()?, one_way: Rc::default() };
        let one_way = far.one_way.clone();
        spawn_local(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(there) = TcpStream::connect(server).await else { continue };
                // Waiting for more to send would make it longer than it is.
                _ = near.set_nodelay(true).and(there.set_nodelay(true));
                let ((near_from, near_to), (there_from, there_to)) = (near.into_split(), there.into_split());
                carry(near_from, there_to, one_way.clone());
                carry(there_from, near_to, one_way.clone());
            }
        });
        Ok(far)
    }

    /// From now on it takes this long, each way.
    pub(crate) fn takes(&self, one_way: Duration) {
        self.one_way.set(one_way);
    }
}

/// What is under way, and when it arrives.
type Sent = (Instant, Bytes);

fn carry(from: OwnedReadHalf, to: OwnedWriteHalf, one_way: Rc<Cell<Duration>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    spawn_local(send(from, sender, one_way));
    spawn_local(arrive(receiver, to));
}

async fn send(mut from: OwnedReadHalf, road: UnboundedSender<Sent>, one_way: Rc<Cell<Duration>>) {
    let mut buffer = BytesMut::new();
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        if road.send((Instant::now() + one_way.get(), buffer.split().freeze())).is_err() {
            return;
        }
    }
}

async fn arrive(mut road: UnboundedReceiver<Sent>, mut to: OwnedWriteHalf) {
    while let Some((due, bytes)) = road.recv().await {
        sleep_until(due).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncBufReadExt as _, io::BufReader, task::LocalSet};

    use super::*;

    /// An echo of lines, and the road to it.
    async fn echo() -> (Far, BufReader<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = Far::to(listener.local_addr().unwrap()).await.unwrap();
        spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut from, mut to) = stream.split();
            _ = tokio::io::copy(&mut from, &mut to).await;
        });
        let stream = TcpStream::connect(far.address).await.unwrap();
        (far, BufReader::new(stream))
    }

    #[tokio::test(flavor = "current_thread")]
    async fn everything_takes_the_road_there_and_back_and_stays_in_order() {
        LocalSet::new()
            .run_until(async {
                let (far, mut stream) = echo().await;
                for one_way in [0, 20].map(Duration::from_millis) {
                    far.takes(one_way);
                    let begin = Instant::now();
                    stream.write_all(b"first\nsecond\n").await.unwrap();
                    for expected in ["first\n", "second\n"] {
                        let mut line = String::new();
                        stream.read_line(&mut line).await.unwrap();
                        assert_eq!(line, expected);
                    }
                    assert!(begin.elapsed() >= one_way * 2);
                }
            })
            .await;
    }
}
