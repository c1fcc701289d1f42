//! Reading in a process of its own, which may crash, fill its memory or never end.
//!
//! The program that reads is told on its standard input what to read: a line of JSON with format and limits,
//! then the bytes. It answers on its standard output with the document or its refusal, in JSON.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::{Format, Limits, Reading, Refusal, read};

/// Longest first line.
const ORDER_BYTES: u64 = 4096;
/// Memory for the stack of the thread that reads: honest documents nest too.
const STACK_BYTES: usize = 64 << 20;
/// Bytes of an answer for each byte of text, at most: JSON writes a control character as six.
const ANSWER_FACTOR: usize = 6;
/// Bytes of an answer for each block besides its text, at most: the headings above it.
const BLOCK_BYTES: usize = 2 * 1024;

/// The first argument of a program that is to be a reader.
pub const READER: &str = "read-document";
/// Time for one document.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Address space of a reader in bytes.
const MEMORY_MAX: u64 = 2 << 30;

/// How to start processes that read, and what they may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// The program, whose `main` calls [`serve`] when it gets these arguments.
    pub program: PathBuf,
    /// The arguments.
    pub arguments: Vec<OsString>,
    /// Time for one document.
    pub time_max: Duration,
    /// Address space of the process in bytes. Not enforced on macOS, where only time is.
    pub memory_max: u64,
}

/// What is to be read.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    format: Format,
    limits: Limits,
    seconds_max: u64,
    memory_max: u64,
}

impl Isolation {
    /// Readers that are this very program, whose `main` calls [`serve`] when its first argument is [`READER`].
    pub fn of_this_program() -> io::Result<Self> {
        // On Linux there is a name that stays right when the program's file is replaced by a newer one.
        let program = if cfg!(target_os = "linux") {
            "/proc/self/exe".into()
        } else {
            std::env::current_exe()?
        };
        Ok(Self {
            program,
            arguments: vec![READER.into()],
            time_max: TIME_MAX,
            memory_max: MEMORY_MAX,
        })
    }

    /// Reads a document as [`read`] does, in a process that is killed when it takes too long.
    /// Errors of starting it are the caller's to judge; what the document does to it is a [`Refusal`].
    pub fn read(
        &self,
        bytes: &[u8],
        format: Format,
        limits: &Limits,
    ) -> io::Result<Result<Reading, Refusal>> {
        if bytes.len() > limits.bytes {
            return Ok(Err(Refusal::TooManyBytes { bytes_max: limits.bytes }));
        }
        // Rounded up, as a limit of processor time of nought seconds means none.
        let seconds_max = self.time_max.as_secs() + 1;
        let order = Order { format, limits: *limits, seconds_max, memory_max: self.memory_max };
        let mut head = serde_json::to_vec(&order)?;
        head.push(b'\n');
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            // It has no use for the caller's variables, some of which are secret.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let answer_max = limits
            .text
            .saturating_mul(ANSWER_FACTOR)
            .saturating_add(limits.blocks.saturating_mul(BLOCK_BYTES));
        let answer = converse(&mut child, &head, bytes, answer_max as u64, self.time_max);
        let status = child.wait()?;
        Ok(match answer {
            Some(answer) => serde_json::from_slice(&answer)
                .unwrap_or_else(|_| Err(Refusal::Crashed { how: ending(status) })),
            None => Err(Refusal::TookTooLong { seconds: self.time_max.as_secs() }),
        })
    }
}

/// Sends a document and receives the answer, all of it; `None` when that takes too long.
fn converse(
    child: &mut Child,
    head: &[u8],
    bytes: &[u8],
    answer_max: u64,
    time_max: Duration,
) -> Option<Vec<u8>> {
    let (mut input, output) = (child.stdin.take()?, child.stdout.take()?);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            // One that has ended takes no more; what it was is told by its answer.
            let _ = input.write_all(head).and_then(|()| input.write_all(bytes));
        });
        scope.spawn(move || {
            let mut answer = Vec::new();
            let _ = output.take(answer_max).read_to_end(&mut answer);
            let _ = sender.send(answer);
        });
        let answer = receiver.recv_timeout(time_max).ok();
        if answer.is_none() {
            // So that both threads come to their end. One that has answered ends by itself.
            let _ = child.kill();
        }
        answer
    })
}

fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "no answer".to_owned(),
    }
}

/// The other side of [`Isolation::read`]: limits this process, reads one document from standard input and
/// writes what came of it to standard output. The process should end then.
pub fn serve() -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut head = Vec::new();
    input.by_ref().take(ORDER_BYTES).read_until(b'\n', &mut head)?;
    let order: Order = serde_json::from_slice(&head)?;
    confine(&order)?;
    let mut bytes = Vec::new();
    input.take(order.limits.bytes as u64 + 1).read_to_end(&mut bytes)?;
    let reading = thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || read(&bytes, order.format, &order.limits))?;
    let reading =
        reading.join().unwrap_or_else(|_| Err(Refusal::Crashed { how: "panic".to_owned() }));
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &reading)?;
    output.flush()
}

/// Limits what this process may use; there is no way back.
fn confine(order: &Order) -> io::Result<()> {
    let limit =
        |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    // The parent's end must not leave a process behind that runs for ever.
    limit(Resource::Cpu, order.seconds_max)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    if cfg!(not(target_os = "macos")) {
        limit(Resource::As, order.memory_max)?;
    }
    Ok(())
}
