//! The connections of clients: not more than there are files for, whoever connects how often.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{self, Stream};
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::{Connected, UdsConnectInfo};
use tracing::{debug, warn};

/// Most connections, where the system allows twice as many files.
const CONNECTIONS_MAX: u64 = 4096;
/// Pause after a connection that could not be accepted: the next one will not be, either.
const PAUSE: Duration = Duration::from_millis(100);

/// As many connections as may be at once: the other half of the files is for the daemon's own.
pub(super) fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((files / 2).clamp(1, CONNECTIONS_MAX)).unwrap_or(usize::MAX)
}

/// The connections that come. One too many is closed at once, so that its caller knows.
pub(super) fn incoming(
    listener: UnixListener,
    max: usize,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(max));
    stream::unfold((listener, places), |(listener, places)| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                        let connection = Connection { stream, _place: place };
                        return Some((Ok(connection), (listener, places)));
                    }
                    debug!("a connection was closed, as there are too many");
                }
                Err(error) => {
                    warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

/// A connection and its place among all.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::pin::pin;

    use futures::StreamExt as _;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn one_connection_too_many_is_closed_and_the_next_finds_the_place_of_one_that_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let mut incoming = pin!(incoming(UnixListener::bind(&path).unwrap(), 1));
        let first = UnixStream::connect(&path).await.unwrap();
        let accepted = incoming.next().await.unwrap().unwrap();
        let mut second = UnixStream::connect(&path).await.unwrap();
        let (mut third, mut byte) = (incoming.next(), [0]);
        tokio::select! {
            read = second.read(&mut byte) => assert_eq!(read.unwrap(), 0, "it was closed"),
            _ = &mut third => unreachable!("there is no place"),
        }
        drop((first, accepted));
        let _third = UnixStream::connect(&path).await.unwrap();
        third.await.unwrap().unwrap();
    }
}
