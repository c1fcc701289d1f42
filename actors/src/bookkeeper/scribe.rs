//! The one thread that writes the egress ledger. It writes down at once all that waits, and syncs once.

use std::io;
use std::iter::once;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use jiff::Timestamp;
use ractor::RpcReplyPort;
use tandem_ledger::{Entry, Head, Writer};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{error, warn};

use super::{Bookkeeper, LEDGER_DEADLINE};
use crate::{Error, Result};

/// Records that wait; there are few more than requests under way.
const RECORDS_MAX: usize = 4096;
/// Most records between two syncs.
const GROUP_MAX: usize = 256;

type Reply = RpcReplyPort<Result<()>>;
type Job = (Entry, Option<Reply>);

/// A running thread. It finishes what it was given and ends when this is dropped.
#[derive(Debug)]
pub(super) struct Scribe {
    /// `None` once finished.
    jobs: Option<SyncSender<Job>>,
    ended: oneshot::Receiver<()>,
}

impl Scribe {
    /// Starts the thread, which opens the ledger. One that cannot be opened is tried again with each
    /// record.
    pub(super) fn start(
        folder: PathBuf,
        known: Option<Head>,
        books: Bookkeeper,
    ) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(RECORDS_MAX);
        let (ended_sender, ended) = oneshot::channel();
        std::thread::Builder::new().name("egress-ledger".to_owned()).spawn(move || {
            let _ended = ended_sender;
            write_down(&folder, known.as_ref(), &queue, &books);
        })?;
        Ok(Self { jobs: Some(jobs), ended })
    }

    /// What records are written with, wherever the actor is.
    pub(super) fn pen(&self) -> Pen {
        Pen(self.jobs.clone())
    }

    /// Waits until everything is written and every pen is put down.
    pub(super) async fn finish(&mut self) {
        self.jobs = None;
        // The thread sends nothing; it closes the channel by ending.
        drop((&mut self.ended).await);
    }
}

/// Gives records to the thread, which ends only when every pen is dropped.
#[derive(Debug, Clone)]
pub(super) struct Pen(Option<SyncSender<Job>>);

impl Pen {
    /// Writes a record. When there is no room its reply is dropped, which is an error to who waits.
    pub(super) fn record(&self, entry: Entry, reply: Option<Reply>) {
        if let Some(jobs) = &self.0
            && jobs.try_send((entry, reply)).is_err()
        {
            warn!("the egress ledger is behind by {RECORDS_MAX} records");
        }
    }

    /// Writes a record and waits until it is on disk.
    pub(super) async fn write(&self, entry: Entry) -> Result<()> {
        let (sender, written) = ractor::concurrency::oneshot();
        self.record(entry, Some(sender.into()));
        match timeout(LEDGER_DEADLINE, written).await {
            Ok(Ok(written)) => written,
            _ => Err(Error::Ledger { problem: "the disk is too slow".to_owned() }),
        }
    }
}

fn write_down(folder: &Path, known: Option<&Head>, queue: &Receiver<Job>, books: &Bookkeeper) {
    books.note_ledger(|end| folder.clone_into(&mut end.folder));
    let mut writer = None;
    // At once, so that a ledger that was cut is known before anything leaves.
    drop(append(&mut writer, folder, known, Vec::new(), books));
    while let Ok(first) = queue.recv() {
        let (entries, replies): (Vec<_>, Vec<_>) =
            once(first).chain(queue.try_iter()).take(GROUP_MAX).unzip();
        let written = append(&mut writer, folder, known, entries, books);
        for reply in replies.into_iter().flatten() {
            drop(reply.send(written.clone()));
        }
    }
}

fn append(
    writer: &mut Option<Writer>,
    folder: &Path,
    known: Option<&Head>,
    entries: Vec<Entry>,
    books: &Bookkeeper,
) -> Result<()> {
    let now = Timestamp::now();
    let written = open(writer, folder, known, now).and_then(|writer| {
        if !entries.is_empty() {
            writer.append(now, entries)?;
        }
        Ok(writer.head().clone())
    });
    let problem = match written {
        Ok(head) => {
            books.note_ledger(|end| {
                end.problem.clear();
                end.head = Some(head);
            });
            return Ok(());
        }
        Err(problem) => problem.to_string(),
    };
    error!(problem, "the egress ledger cannot be written: nothing leaves the machine");
    books.note_ledger(|end| end.problem.clone_from(&problem));
    Err(Error::Ledger { problem })
}

fn open<'a>(
    writer: &'a mut Option<Writer>,
    folder: &Path,
    known: Option<&Head>,
    now: Timestamp,
) -> std::result::Result<&'a mut Writer, tandem_ledger::Error> {
    Ok(match writer {
        Some(writer) => writer,
        none => {
            let opened = Writer::open(folder, known, now)?;
            for finding in opened.findings() {
                warn!(
                    ?finding,
                    "the egress ledger is not as it was left; see `tandem audit verify`"
                );
            }
            none.insert(opened)
        }
    })
}

impl Bookkeeper {
    fn note_ledger(&self, note: impl FnOnce(&mut super::LedgerEnd)) {
        note(&mut self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
