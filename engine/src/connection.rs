//! The socket to the daemon: frames of a little-endian `u32` length and one protobuf message.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use prost::Message;
use tandem_proto::engine::from_engine::Message as Outgoing;
use tandem_proto::engine::to_engine::Message as Incoming;
use tandem_proto::engine::{FRAME_BYTES_MAX, FromEngine, ToEngine};

use crate::process;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The socket failed, or ended inside a frame.
    #[error("the connection to tandemd broke: {0}")]
    Io(#[from] io::Error),
    /// Longer than the protocol allows; nothing behind it can be trusted.
    #[error("tandemd sent a frame of {0} bytes, more than {FRAME_BYTES_MAX}; do versions match?")]
    TooLong(usize),
    /// Not the message that both sides agreed on.
    #[error("tandemd sent a frame that is no message: {0}; do versions match?")]
    Malformed(#[from] prost::DecodeError),
}

/// The socket on stdin, or why there is none.
pub fn from_stdin() -> io::Result<UnixStream> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Fails on anything but a socket, which the conversion above does not check.
    stream.local_addr()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Reads frames.
#[derive(Debug)]
pub struct Reader<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: Read> Reader<S> {
    /// Reads from `stream`.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Waits for the next message, passing over those of a kind that only a newer daemon knows; `None`
    /// at the end of the stream between two frames.
    pub fn next(&mut self) -> Result<Option<Incoming>, FrameError> {
        loop {
            match self.next_frame()? {
                None => return Ok(None),
                Some(ToEngine { message: Some(message) }) => return Ok(Some(message)),
                Some(ToEngine { message: None }) => {}
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<ToEngine>, FrameError> {
        let mut header = [0; 4];
        if self.stream.by_ref().take(1).read(&mut header)? == 0 {
            return Ok(None);
        }
        self.stream.read_exact(&mut header[1..])?;
        let length = u32::from_le_bytes(header) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong(length));
        }
        self.buffer.clear();
        let read = self.stream.by_ref().take(length as u64).read_to_end(&mut self.buffer)?;
        if read < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(Some(ToEngine::decode(self.buffer.as_slice())?))
    }
}

/// Writes frames, whole, from any thread.
#[derive(Debug)]
pub struct Writer {
    inner: Mutex<(UnixStream, Vec<u8>)>,
}

impl Writer {
    /// Writes to `stream`.
    pub fn new(stream: UnixStream) -> Self {
        Self { inner: Mutex::new((stream, Vec::new())) }
    }

    /// Sends one message. Ends the process when the daemon is gone: nobody is left to serve.
    pub fn send(&self, message: Outgoing) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (stream, buffer) = &mut *inner;
        buffer.clear();
        let message = FromEngine { message: Some(message) };
        let sent = message
            .encode(buffer)
            .map_err(io::Error::other)
            .and_then(|()| u32::try_from(buffer.len()).map_err(io::Error::other))
            .and_then(|length| write_frame(stream, &length.to_le_bytes(), buffer));
        if sent.is_err() {
            process::exit_now(0);
        }
    }
}

/// Header and body in one call where the socket takes them, so that the reader wakes once.
fn write_frame(stream: &mut UnixStream, header: &[u8], body: &[u8]) -> io::Result<()> {
    let written = loop {
        match stream.write_vectored(&[IoSlice::new(header), IoSlice::new(body)]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    stream.write_all(header.get(written..).unwrap_or_default())?;
    stream.write_all(body.get(written.saturating_sub(header.len())..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use tandem_proto::engine::{Cancel, Heartbeat};

    fn frame(message: Option<Incoming>) -> Vec<u8> {
        let body = ToEngine { message }.encode_to_vec();
        let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        frame.extend(body);
        frame
    }

    #[test]
    fn frames_are_read_one_after_the_other() {
        let mut bytes = frame(Some(Incoming::Cancel(Cancel { id: 7 })));
        bytes.extend(frame(Some(Incoming::Cancel(Cancel { id: 8 }))));
        let mut reader = Reader::new(bytes.as_slice());
        assert_eq!(reader.next().unwrap(), Some(Incoming::Cancel(Cancel { id: 7 })));
        assert_eq!(reader.next().unwrap(), Some(Incoming::Cancel(Cancel { id: 8 })));
        assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn an_end_inside_a_frame_is_an_error() {
        let bytes = frame(Some(Incoming::Cancel(Cancel { id: 7 })));
        for end in 1..bytes.len() {
            let read = Reader::new(&bytes[..end]).next();
            assert!(matches!(read, Err(FrameError::Io(_))), "cut at {end}");
        }
    }

    #[test]
    fn a_frame_longer_than_allowed_is_refused_before_it_is_read() {
        let header = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_le_bytes();
        let read = Reader::new(header.as_slice()).next();
        assert!(matches!(read, Err(FrameError::TooLong(_))));
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        let read = Reader::new([3, 0, 0, 0, 0xff, 0xff, 0xff].as_slice()).next();
        assert!(matches!(read, Err(FrameError::Malformed(_))));
    }

    #[test]
    fn messages_of_unknown_kind_are_passed_over() {
        let mut bytes = frame(None);
        // Field 999, with an empty message.
        bytes.extend([3, 0, 0, 0, 0xba, 0x3e, 0x00]);
        bytes.extend(frame(Some(Incoming::Cancel(Cancel { id: 7 }))));
        let mut reader = Reader::new(bytes.as_slice());
        assert_eq!(reader.next().unwrap(), Some(Incoming::Cancel(Cancel { id: 7 })));
        assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn a_sent_message_arrives_whole() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let heartbeat = Outgoing::Heartbeat(Heartbeat { steps: 300, ..Heartbeat::default() });
        Writer::new(ours).send(heartbeat.clone());
        let mut bytes = Vec::new();
        theirs.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes[..4], u32::try_from(bytes.len() - 4).unwrap().to_le_bytes());
        assert_eq!(FromEngine::decode(&bytes[4..]).unwrap().message, Some(heartbeat));
    }
}
