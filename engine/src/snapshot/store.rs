//! Both places of snapshots as one.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::folder::Folder;
use super::memory::Memory;
use super::{Key, Snapshot};
use crate::log;

/// Snapshots that wait to be written. One more is being written; both take memory beside the
/// budget, at most [`super::file::STATE_BYTES_MAX`] each.
const WRITES_WAITING_MAX: usize = 1;

/// How much may be kept, and where.
#[derive(Debug, Clone, Copy)]
pub struct Budget<'a> {
    /// Bytes in memory.
    pub memory_bytes: usize,
    /// Folder of saved snapshots; without one, nothing is saved.
    pub folder: Option<&'a Path>,
    /// Bytes in the folder, together with the snapshots of other engines.
    pub disk_bytes: u64,
}

/// The scheduler's store of snapshots.
#[derive(Debug)]
pub struct Store {
    memory: Memory,
    /// Bytes in memory at most, whatever [`Self::limit`] is told.
    memory_max: usize,
    disk: Option<Disk>,
}

impl Store {
    /// Opens the store of an engine with this key. What cannot be had is done without: a folder
    /// that cannot be used costs a line in the log.
    pub fn open(key: Key, budget: &Budget) -> Self {
        let folder = budget.folder.filter(|_| budget.disk_bytes > 0);
        let disk = folder.and_then(|path| match Disk::open(path, key, budget.disk_bytes) {
            Ok(disk) => Some(disk),
            Err(error) => {
                let path = path.display();
                log::line(format_args!("prefixes are not saved, {path} cannot be used: {error}"));
                None
            }
        });
        Self { memory: Memory::new(budget.memory_bytes), memory_max: budget.memory_bytes, disk }
    }

    /// Keeps at most so many bytes in memory from now on; 0 means as many as at first.
    pub fn limit(&mut self, memory_bytes: usize) {
        let budget = if memory_bytes == 0 { self.memory_max } else { memory_bytes };
        self.memory.limit(budget.min(self.memory_max));
    }

    /// Length of the longest stored prefix behind which `prompt` goes on; 0 when there is none.
    pub fn longest(&self, prompt: &[u32]) -> usize {
        let disk = self.disk.as_ref().map_or(0, |disk| disk.folder.longest(prompt));
        self.memory.longest(prompt).max(disk)
    }

    /// The snapshot of a prefix that was found. `None` when it was damaged or is gone meanwhile.
    /// What came from disk is in memory from now on.
    pub fn load(&mut self, prefix: &[u32]) -> Option<Arc<Snapshot>> {
        if let Some(snapshot) = self.memory.get(prefix) {
            if let Some(disk) = &self.disk {
                disk.folder.touch(prefix);
            }
            return Some(snapshot);
        }
        let snapshot = Arc::new(self.disk.as_ref()?.folder.read(prefix)?);
        self.memory.insert(Arc::clone(&snapshot));
        Some(snapshot)
    }

    /// Keeps a prefix in memory, unless it is there. `save` is called for its state of
    /// `state_bytes` when there is room.
    pub fn keep(
        &mut self,
        prefix: &[u32],
        state_bytes: usize,
        save: impl FnOnce() -> Option<Vec<u8>>,
    ) {
        if self.memory.get(prefix).is_none()
            && self.memory.make_room(Memory::cost(prefix.len(), state_bytes))
            && let Some(state) = save()
        {
            self.memory.insert(Arc::new(Snapshot { tokens: prefix.to_vec(), state }));
        }
    }

    /// Has a prefix written to disk, unless it is there, and keeps it in memory as well. Never waits
    /// for the disk: while it is busy, a prefix is left for the next time.
    pub fn persist(
        &mut self,
        prefix: &[u32],
        state_bytes: usize,
        save: impl FnOnce() -> Option<Vec<u8>>,
    ) {
        let claim = |disk: &&Disk| disk.folder.claim(prefix, state_bytes, Instant::now());
        let Some(disk) = self.disk.as_ref().filter(claim) else { return };
        let snapshot = self.memory.get(prefix).or_else(|| {
            let room = self.memory.make_room(Memory::cost(prefix.len(), state_bytes));
            let snapshot = Arc::new(Snapshot { tokens: prefix.to_vec(), state: save()? });
            if room {
                self.memory.insert(Arc::clone(&snapshot));
            }
            Some(snapshot)
        });
        match snapshot {
            Some(snapshot) => disk.submit(snapshot),
            None => disk.folder.give_up(prefix),
        }
    }

    /// Drops a prefix that turned out to be of no use.
    pub fn forget(&mut self, prefix: &[u32]) {
        self.memory.remove(prefix);
        if let Some(disk) = &self.disk {
            disk.folder.remove(prefix);
        }
    }
}

/// The folder and the thread that writes to it.
#[derive(Debug)]
struct Disk {
    folder: Arc<Folder>,
    /// Dropped to end the thread.
    writes: Option<SyncSender<Arc<Snapshot>>>,
    writer: Option<JoinHandle<()>>,
}

impl Disk {
    fn open(path: &Path, key: Key, budget: u64) -> std::io::Result<Self> {
        let folder = Arc::new(Folder::open(path, key, budget)?);
        let (writes, waiting) = sync_channel(WRITES_WAITING_MAX);
        let target = Arc::clone(&folder);
        let thread = thread::Builder::new()
            .name("snapshots".to_owned())
            .spawn(move || write_all(&target, &waiting))?;
        Ok(Self { folder, writes: Some(writes), writer: Some(thread) })
    }

    /// Has a claimed snapshot written, unless too many wait.
    fn submit(&self, snapshot: Arc<Snapshot>) {
        let refused = self.writes.as_ref().and_then(|writes| writes.try_send(snapshot).err());
        if let Some(refused) = refused {
            let (TrySendError::Full(snapshot) | TrySendError::Disconnected(snapshot)) = refused;
            self.folder.give_up(&snapshot.tokens);
        }
    }
}

impl Drop for Disk {
    /// What was accepted is written.
    fn drop(&mut self) {
        drop(self.writes.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn write_all(folder: &Folder, waiting: &Receiver<Arc<Snapshot>>) {
    for snapshot in waiting {
        folder.write(&snapshot);
    }
}

#[cfg(test)]
mod tests;
