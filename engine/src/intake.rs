//! From the socket to the threads that work: what the reader does with each message.
//!
//! The reader never waits for anything but the socket, so that it notices at once when the
//! daemon is gone. The queues behind it are bounded by tickets instead of by their length.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prost::Message as _;
use tandem_proto::engine::from_engine::Message as Outgoing;
use tandem_proto::engine::to_engine::Message as Incoming;
use tandem_proto::engine::{CountTokens, Detokenize, Embed, Generate, Step, Tokenize};

use crate::allowance::Allowance;
use crate::connection::Writer;
use crate::request::{Refusal, Request, cancelled_before_start};
use crate::scheduler::{Command, Interrupts, Urgency};

/// Requests read but not taken up yet.
const REQUESTS_MAX: usize = 256;

/// Their bytes.
const BYTES_MAX: usize = 64 << 20;
/// What an entry of a list takes at least, however short it was in the frame.
const ENTRY_BYTES: usize = 32;

/// Work for the text thread.
#[derive(Debug)]
pub struct Job {
    /// What to do.
    pub work: Work,
    /// When it came in.
    pub received: Instant,
    /// Bounds the queue that the job waits in.
    pub ticket: Ticket,
}

/// What the text thread does.
#[derive(Debug)]
pub enum Work {
    /// Check a request, render and tokenize its prompt, and hand it to the scheduler.
    Generate(Box<Generate>),
    /// Text to tokens.
    Tokenize(Tokenize),
    /// Tokens to text.
    Detokenize(Detokenize),
    /// Text to numbers of tokens.
    CountTokens(CountTokens),
    /// Texts to embeddings.
    Embed(Embed),
}

/// The daemon broke the protocol; there is no way to go on.
#[derive(Debug, thiserror::Error)]
#[error("tandemd sent a second load; one engine serves one model")]
pub struct SecondLoad;

/// Distributes what the reader reads.
#[derive(Debug)]
pub struct Intake {
    writer: Arc<Writer>,
    jobs: Sender<Job>,
    handover: Arc<Handover>,
    allowance: Arc<Allowance>,
    backlog: Arc<Backlog>,
}

impl Intake {
    /// Sends jobs to the text thread, which passes requests on through `handover`, and puts what the
    /// machine can spare into `allowance`.
    pub fn new(
        writer: Arc<Writer>,
        jobs: Sender<Job>,
        handover: Arc<Handover>,
        allowance: Arc<Allowance>,
    ) -> Self {
        Self { writer, jobs, handover, allowance, backlog: Arc::default() }
    }

    /// Sees to one message.
    pub fn take(&self, message: Incoming) -> Result<(), SecondLoad> {
        let bytes = match &message {
            Incoming::Generate(request) => {
                request.encoded_len() + request.messages.len() * ENTRY_BYTES
            }
            Incoming::Tokenize(request) => request.encoded_len(),
            Incoming::Detokenize(request) => request.encoded_len(),
            Incoming::CountTokens(request) => {
                let entries = request.texts.len() + request.messages.len();
                request.encoded_len() + entries * ENTRY_BYTES
            }
            Incoming::Embed(request) => request.encoded_len() + request.texts.len() * ENTRY_BYTES,
            Incoming::Load(_) | Incoming::Cancel(_) | Incoming::Adjust(_) => 0,
        };
        let (id, work) = match message {
            Incoming::Load(_) => return Err(SecondLoad),
            Incoming::Cancel(cancel) => {
                self.cancel(cancel.id);
                return Ok(());
            }
            Incoming::Adjust(adjust) => {
                self.allowance.set(adjust);
                return Ok(());
            }
            Incoming::Generate(request) => (request.id, Work::Generate(Box::new(request))),
            Incoming::Tokenize(request) => (request.id, Work::Tokenize(request)),
            Incoming::Detokenize(request) => (request.id, Work::Detokenize(request)),
            Incoming::CountTokens(request) => (request.id, Work::CountTokens(request)),
            Incoming::Embed(request) => (request.id, Work::Embed(request)),
        };
        let Some(ticket) = Backlog::ticket(&self.backlog, bytes) else {
            self.writer.send(Refusal::Busy.into_message(id));
            return Ok(());
        };
        if matches!(work, Work::Generate(_) | Work::Embed(_)) {
            self.handover.announce(id);
        }
        // Fails only when the text thread is gone, and then the process ends.
        let _ = self.jobs.send(Job { work, received: Instant::now(), ticket });
        Ok(())
    }

    fn cancel(&self, id: u64) {
        if self.handover.cancel(id) {
            let sequences = vec![cancelled_before_start(id)];
            self.writer.send(Outgoing::Step(Step { sequences }));
        }
    }
}

/// Passes requests from the text thread to the scheduler, and cancellations to where the
/// request is just then.
#[derive(Debug)]
pub struct Handover {
    /// Requests that the text thread works on or will. The lock also orders commands: no
    /// cancellation reaches the scheduler before its request.
    announced: Mutex<HashSet<u64>>,
    commands: Sender<Command>,
    interrupts: Arc<Interrupts>,
}

impl Handover {
    /// Hands over to the scheduler at the other end of `commands`, whose steps `interrupts` can cut
    /// short.
    pub fn new(commands: Sender<Command>, interrupts: Arc<Interrupts>) -> Self {
        Self { announced: Mutex::default(), commands, interrupts }
    }

    /// A request is on its way to the text thread.
    fn announce(&self, id: u64) {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// Cancels a request. Whether it had not reached the scheduler, and is gone now.
    fn cancel(&self, id: u64) -> bool {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let early = announced.remove(&id);
        if !early {
            self.interrupts.cancels(id);
            if self.commands.send(Command::Cancel(id)).is_err() {
                // An engine that embeds has no scheduler.
                self.interrupts.cancel_taken(id);
            }
        }
        early
    }

    /// Whether a request that was announced was not cancelled since.
    pub fn is_wanted(&self, id: u64) -> bool {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    /// Gives a prepared request to the scheduler, unless it was cancelled meanwhile.
    pub fn start(&self, request: Request, ticket: Ticket) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if announced.remove(&request.id) {
            let urgency = Urgency::new(request.priority, request.received.elapsed());
            self.interrupts.comes(request.id, urgency);
            let _ = self.commands.send(Command::Start(Box::new(request), ticket));
        }
    }

    /// Drops a request that will not be served. Whether nobody has cancelled it yet.
    pub fn refuse(&self, id: u64) -> bool {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }
}

/// How much has been read and not taken up. Only the reader adds.
#[derive(Debug, Default)]
struct Backlog {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

impl Backlog {
    fn ticket(backlog: &Arc<Self>, bytes: usize) -> Option<Ticket> {
        let requests = backlog.requests.load(Ordering::Acquire);
        let queued = backlog.bytes.load(Ordering::Acquire);
        if requests >= REQUESTS_MAX || queued.saturating_add(bytes) > BYTES_MAX {
            return None;
        }
        backlog.requests.fetch_add(1, Ordering::AcqRel);
        backlog.bytes.fetch_add(bytes, Ordering::AcqRel);
        Some(Ticket { backlog: Arc::clone(backlog), bytes })
    }
}

/// A place in the backlog, given up when dropped.
#[derive(Debug)]
pub struct Ticket {
    backlog: Arc<Backlog>,
    bytes: usize,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.backlog.requests.fetch_sub(1, Ordering::AcqRel);
        self.backlog.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::reasoning::Splitter;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{Receiver, channel};
    use tandem_proto::engine::{Cancel, Load};
    use tandem_proto::v1::Priority;

    struct Fixture {
        intake: Intake,
        handover: Arc<Handover>,
        jobs: Receiver<Job>,
        commands: Receiver<Command>,
        daemon: UnixStream,
    }

    fn fixture() -> Fixture {
        let (ours, daemon) = UnixStream::pair().unwrap();
        let (jobs_in, jobs) = channel();
        let (commands_in, commands) = channel();
        let handover = Arc::new(Handover::new(commands_in, Arc::default()));
        let writer = Arc::new(Writer::new(ours));
        let intake = Intake::new(writer, jobs_in, Arc::clone(&handover), Arc::default());
        Fixture { intake, handover, jobs, commands, daemon }
    }

    fn generate(id: u64, bytes: usize) -> Incoming {
        Incoming::Generate(Generate { id, prompt: "x".repeat(bytes), ..Generate::default() })
    }

    fn request(id: u64) -> Request {
        let settings = crate::sampling::tests::neutral();
        Request {
            id,
            prompt: vec![1],
            system_tokens: 0,
            resume: Vec::new(),
            settings,
            splitter: Splitter::default(),
            draft: None,
            constraint: None,
            priority: Priority::Unspecified,
            received: Instant::now(),
        }
    }

    /// What the engine sent, after everything that could send is dropped.
    fn sent(fixture: Fixture) -> Vec<u8> {
        let Fixture { intake, mut daemon, .. } = fixture;
        drop(intake);
        let mut bytes = Vec::new();
        daemon.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_request_cancelled_while_it_is_prepared_never_reaches_the_scheduler() {
        let fixture = fixture();
        fixture.intake.take(generate(7, 1)).unwrap();
        fixture.intake.take(Incoming::Cancel(Cancel { id: 7 })).unwrap();
        let job = fixture.jobs.try_recv().unwrap();
        fixture.handover.start(request(7), job.ticket);
        assert!(fixture.commands.try_recv().is_err());
        assert!(!sent(fixture).is_empty(), "the cancellation is confirmed");
    }

    #[test]
    fn a_cancellation_follows_its_request_to_the_scheduler() {
        let fixture = fixture();
        fixture.intake.take(generate(7, 1)).unwrap();
        let job = fixture.jobs.try_recv().unwrap();
        fixture.handover.start(request(7), job.ticket);
        fixture.intake.take(Incoming::Cancel(Cancel { id: 7 })).unwrap();
        assert!(
            matches!(fixture.commands.try_recv(), Ok(Command::Start(request, _)) if request.id == 7)
        );
        assert!(matches!(fixture.commands.try_recv(), Ok(Command::Cancel(7))));
        assert!(sent(fixture).is_empty());
    }

    #[test]
    fn requests_beyond_the_backlog_are_refused_until_some_are_taken_up() {
        let fixture = fixture();
        for id in 0..REQUESTS_MAX as u64 {
            fixture.intake.take(generate(id, 1)).unwrap();
        }
        fixture.intake.take(generate(999, 1)).unwrap();
        assert_eq!(fixture.jobs.try_iter().count(), REQUESTS_MAX);
        fixture.intake.take(generate(1000, 1)).unwrap();
        assert_eq!(fixture.jobs.try_iter().count(), 1);
        assert!(!sent(fixture).is_empty(), "one was refused");
    }

    #[test]
    fn large_requests_fill_the_backlog_sooner() {
        let fixture = fixture();
        for id in 0..6 {
            fixture.intake.take(generate(id, 15 << 20)).unwrap();
        }
        assert_eq!(fixture.jobs.try_iter().count(), 4);
    }

    #[test]
    fn a_second_load_breaks_the_protocol() {
        assert!(fixture().intake.take(Incoming::Load(Load::default())).is_err());
    }
}
