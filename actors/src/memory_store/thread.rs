//! The one thread that touches the database: it serves requests in order and syncs once for all
//! changes that were waiting.

use std::iter::once;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::database::{Database, SystemSource};
use super::opening::{Opened, Problem};
use super::room::Room;
use super::{Arguments, Reply, Request};
use crate::Result;

/// How long to wait for the previous life to let go of the directory.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Most requests between two syncs.
const GROUP_MAX: usize = 256;

/// What the thread is given to do. The permit is given back once the request is answered.
pub(super) type Job = (Request, OwnedSemaphorePermit);

/// A running thread. It finishes what it was given and ends when `jobs` is dropped.
pub(super) struct Handle {
    pub(super) jobs: SyncSender<Job>,
    /// Resolves when the directory is open, or why it is not.
    pub(super) opened: oneshot::Receiver<Opened<()>>,
    /// Closes when the thread has ended.
    pub(super) ended: oneshot::Receiver<()>,
}

/// Starts the thread. `on_end` hears why it ended.
pub(super) fn start(
    arguments: Arguments,
    capacity: usize,
    on_end: impl FnOnce(String) + Send + 'static,
) -> io::Result<Handle> {
    let (jobs, queue) = sync_channel(capacity);
    let (opened_sender, opened) = oneshot::channel();
    let (ended_sender, ended) = oneshot::channel();
    thread::Builder::new().name("memory-store".to_owned()).spawn(move || {
        let _ended = ended_sender;
        // sled panics on some kinds of damage.
        let life = catch_unwind(AssertUnwindSafe(|| live(&arguments, &queue, opened_sender)));
        on_end(life.unwrap_or_else(|_| "its thread panicked".to_owned()));
    })?;
    Ok(Handle { jobs, opened, ended })
}

fn live(
    arguments: &Arguments,
    queue: &Receiver<Job>,
    opened: oneshot::Sender<Opened<()>>,
) -> String {
    let mut room = Room::beside(&arguments.dir);
    let mut outcome = open_patiently(&arguments.dir, || opened.is_closed());
    if outcome.as_ref().is_err_and(Problem::is_full) && room.give_up() {
        outcome = open_patiently(&arguments.dir, || opened.is_closed());
    }
    let database = match outcome {
        Ok(database) => database,
        Err(problem) => {
            let why = problem.to_string();
            drop(opened.send(Err(problem)));
            return why;
        }
    };
    if opened.send(Ok(())).is_err() {
        return "nobody waits for it any more".to_owned();
    }
    match serve(database, queue, arguments, &mut room) {
        Ok(()) => "stopped".to_owned(),
        Err(why) => why,
    }
}

/// Opens the store once a previous life has let go of it.
pub(super) fn open_patiently(dir: &Path, is_given_up: impl Fn() -> bool) -> Opened<Database> {
    let begin = Instant::now();
    loop {
        match Database::open(dir, Box::new(SystemSource)) {
            Err(Problem::Locked) if begin.elapsed() < LOCK_PATIENCE && !is_given_up() => {
                thread::sleep(LOCK_RETRY_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Changes that are made and not yet on disk.
#[derive(Default)]
struct Group(Vec<(Acknowledge, OwnedSemaphorePermit)>);

impl Group {
    /// Makes them last and tells their callers.
    fn settle(&mut self, database: &mut Database) {
        if self.0.is_empty() {
            return;
        }
        let durable = database.sync();
        for (acknowledge, permit) in self.0.drain(..) {
            acknowledge(durable.clone());
            drop(permit);
        }
    }
}

/// Serves until nobody asks any more; an error says why it ended before.
fn serve(
    mut database: Database,
    queue: &Receiver<Job>,
    arguments: &Arguments,
    room: &mut Room,
) -> std::result::Result<(), String> {
    while let Ok(first) = queue.recv() {
        let mut group = Group::default();
        database.room = room.check();
        for (request, permit) in once(first).chain(queue.try_iter()).take(GROUP_MAX) {
            match request {
                Request::Replace(replace) => {
                    group.settle(&mut database);
                    database = replace.run(database).map_err(|problem| problem.to_string())?;
                    database.room = room.check();
                }
                request => {
                    let change = request.serve(&mut database);
                    group.0.extend(change.map(|change| (change, permit)));
                }
            }
        }
        group.settle(&mut database);
        arguments.node.set_queue(arguments.handle.accepted());
        if let Some(problem) = database.failure() {
            return Err(format!("a write failed: {problem}"));
        }
    }
    Ok(())
}

/// Tells the caller of a change that was made whether it is on disk.
pub(super) type Acknowledge = Box<dyn FnOnce(Result<()>) + Send>;

impl Request {
    /// Answers, or says what is to be done once the change is on disk.
    fn serve(self, database: &mut Database) -> Option<Acknowledge> {
        match self {
            Self::CreateConversation { title, policy, reply } => {
                change(reply, || database.create_conversation(&title, policy))
            }
            Self::ListConversations { page_size, page_token, reply } => {
                read(reply, || database.list_conversations(page_size, &page_token))
            }
            Self::Conversation { id, reply } => read(reply, || database.conversation(&id)),
            Self::RecentTurns { id, max, reply } => read(reply, || database.recent_turns(&id, max)),
            Self::CommitTurn { id, turn, reply } => {
                change(reply, || database.commit_turn(&id, *turn))
            }
            Self::DeleteConversation { id, reply } => {
                change(reply, || database.delete_conversation(&id))
            }
            Self::EngineChoice { key, reply } => read(reply, || database.engine_choice(&key)),
            Self::RememberEngineChoice { key, value, reply } => {
                change(reply, || database.remember_engine_choice(&key, &value))
            }
            Self::Experiments(request) => request.serve(database),
            Self::Books(request) => request.serve(database),
            Self::Conversations(request) => request.serve(database),
            Self::Care(request) => request.serve(database),
            // The thread itself does it, as it has the database.
            Self::Replace(_) => None,
            Self::Summaries(request) => request.serve(database),
            Self::Memories(request) => request.serve(database),
        }
    }
}

pub(super) fn read<T: Send + 'static>(
    reply: Reply<T>,
    work: impl FnOnce() -> Result<T>,
) -> Option<Acknowledge> {
    if !reply.is_closed() {
        drop(reply.send(work()));
    }
    None
}

pub(super) fn change<T: Send + 'static>(
    reply: Reply<T>,
    work: impl FnOnce() -> Result<T>,
) -> Option<Acknowledge> {
    if reply.is_closed() {
        return None;
    }
    match work() {
        Ok(value) => Some(Box::new(move |durable| drop(reply.send(durable.map(|()| value))))),
        Err(error) => {
            drop(reply.send(Err(error)));
            None
        }
    }
}
