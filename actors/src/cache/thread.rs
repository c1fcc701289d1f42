//! The one thread that writes to the caches. It does what it is given in order.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use ractor::RpcReplyPort;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::keeper::{Keeper, KeyPlace, New};
use super::{Arguments, Which};

/// Folder of the caches in the data folder.
const FOLDER: &str = "cache";
/// How often what is too old is looked for while nothing else happens.
const SWEEP: Duration = Duration::from_secs(600);

/// What the thread is given to do. The permit, which bounds how much that is, is given back after.
pub(super) type Job = (Work, OwnedSemaphorePermit);

#[derive(Debug)]
pub(super) enum Work {
    Keep(Which, Vec<New>),
    Clear(Option<Which>, RpcReplyPort<u64>),
    /// Replies when everything before it is done.
    Settle(RpcReplyPort<()>),
}

/// A running thread. It finishes what it was given and ends when `jobs` is dropped.
pub(super) struct Handle {
    pub(super) jobs: Sender<Job>,
    /// Closes when the thread has ended.
    pub(super) ended: oneshot::Receiver<()>,
}

pub(super) fn start(arguments: Arguments) -> io::Result<Handle> {
    let (jobs, queue) = channel();
    let (ended_sender, ended) = oneshot::channel();
    thread::Builder::new().name("caches".to_owned()).spawn(move || {
        let _ended = ended_sender;
        serve(&arguments, &queue);
    })?;
    Ok(Handle { jobs, ended })
}

fn serve(arguments: &Arguments, queue: &Receiver<Job>) {
    let mut keepers = Which::ALL.map(|which| {
        let handle = &arguments.handle;
        let key =
            KeyPlace { named: arguments.store_key.clone(), data_dir: arguments.data_dir.clone() };
        let vectors = handle.compares_questions().then(|| Arc::clone(&handle.vectors));
        let vectors = vectors.filter(|_| which == Which::Answers);
        let folder = arguments.data_dir.join(FOLDER).join(which.name());
        let stock = Arc::clone(handle.stock(which));
        (which, Keeper::start(stock, folder, key, vectors, SystemTime::now()))
    });
    loop {
        let now = SystemTime::now;
        match queue.recv_timeout(SWEEP) {
            Ok((Work::Keep(which, entries), _permit)) => {
                let keeper = keepers.iter_mut().find(|(of, _)| *of == which);
                if let Some((_, keeper)) = keeper {
                    keeper.keep(entries, now());
                }
            }
            Ok((Work::Clear(which, reply), _permit)) => {
                let asked = |of: Which| which.is_none_or(|which| which == of);
                let cleared = keepers.iter_mut().filter(|(of, _)| asked(*of));
                drop(reply.send(cleared.map(|(_, keeper)| keeper.clear(now())).sum()));
            }
            Ok((Work::Settle(reply), _permit)) => drop(reply.send(())),
            Err(RecvTimeoutError::Timeout) => {
                for (_, keeper) in &mut keepers {
                    keeper.remove_expired(now());
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
