//! The socket to the daemon, and the log of what came through it.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use prost::Message as _;
use tandem_proto::engine::from_engine::Message as Outgoing;
use tandem_proto::engine::to_engine::Message as Incoming;
use tandem_proto::engine::{FromEngine, ToEngine};
use tandem_tests::script;

/// Messages that wait to be handled before the daemon has to.
const QUEUE_MAX: usize = 1024;

/// Both directions of what this engine says.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: UnixStream,
    log: File,
    life: usize,
}

impl Connection {
    /// Takes the socket from stdin and writes the begin of this life down. Messages from the
    /// daemon come through the channel; when there are no more, the process ends.
    pub(crate) fn open(script: &Path) -> (Self, Receiver<Incoming>) {
        let log = script::log_file(script);
        let lives = fs::read_to_string(&log).unwrap_or_default();
        let life = 1 + lives.lines().filter(|line| line.ends_with(" start")).count();
        let log = File::options().create(true).append(true).open(log).unwrap();
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let mut input = socket.try_clone().unwrap();
        thread::spawn(move || {
            while let Some(message) = read(&mut input) {
                if sender.send(message).is_err() {
                    break;
                }
            }
            std::process::exit(0);
        });
        let mut connection = Self { socket, log, life };
        connection.log("start");
        (connection, receiver)
    }

    /// Number of this process among those that followed the script, from 1.
    pub(crate) fn life(&self) -> usize {
        self.life
    }

    /// Writes a line down, whole.
    pub(crate) fn log(&mut self, line: &str) {
        let line = format!("life {} {line}\n", self.life);
        self.log.write_all(line.as_bytes()).unwrap();
    }

    /// Sends a message. The daemon may have gone; the reader notices.
    pub(crate) fn send(&mut self, message: Outgoing) {
        let body = FromEngine { message: Some(message) }.encode_to_vec();
        let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        frame.extend(body);
        self.send_bytes(&frame);
    }

    /// Sends bytes that need not be a message.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }
}

/// The next message; `None` at the end of the stream.
fn read(input: &mut UnixStream) -> Option<Incoming> {
    let mut length = [0; 4];
    input.read_exact(&mut length).ok()?;
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    input.read_exact(&mut body).ok()?;
    Some(ToEngine::decode(body.as_slice()).unwrap().message.unwrap())
}
