//! The places for work that the daemon takes on, and who holds them. A place is given or refused without
//! asking the router, however busy that is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tandem_proto::v1::ClientLoad;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::class::Class;

/// Most clients that a status shows.
const SHOWN_MAX: usize = 32;
/// Most bytes that all requests that hold places have together.
const BYTES_MAX: usize = 128 << 20;

/// All places. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: u32,
    /// As many of them can be waited at.
    waiting_max: u32,
    /// One permit per place.
    free: Arc<Semaphore>,
    /// Held for no longer than it takes to count.
    ledger: Mutex<Ledger>,
    refused: AtomicU64,
}

/// What is given away.
#[derive(Debug, Default)]
struct Ledger {
    held: HashMap<Holder, Held>,
    /// Of the requests that hold places.
    bytes: usize,
}

/// A client, as far as its work of one class goes: what it does in the background does not cost it the
/// place of a question that it asks for a person.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Holder {
    client: Arc<str>,
    class: Class,
}

/// How many places somebody holds, by what becomes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    aside: u32,
    waiting: u32,
    running: u32,
}

/// What becomes of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is held by work that needs no slot of the router.
    Aside,
    Waiting,
    Running,
}

/// Why there is no place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// All are taken.
    Full,
    /// The client holds so many, and only so few are left for others.
    Greedy { held: u32, free: usize },
    /// The request is this large, and only a smaller one could be kept.
    Large { bytes: usize },
}

/// One place. Dropping it gives it up.
#[derive(Debug)]
pub struct Place {
    holder: Holder,
    stage: Stage,
    /// Of the request.
    bytes: usize,
    inner: Arc<Inner>,
    _permit: OwnedSemaphorePermit,
}

/// Who waits and runs.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Load {
    pub(super) running: u32,
    /// By class.
    pub(super) waiting: [u32; 3],
    /// Those who have something running or waiting, the busiest first.
    pub(super) clients: Vec<ClientLoad>,
}

impl Places {
    /// Places for so much that runs, and so much that waits behind it.
    pub(super) fn new(running_max: u32, waiting_max: u32) -> Self {
        let all = running_max + waiting_max;
        Self(Arc::new(Inner {
            all,
            waiting_max,
            free: Arc::new(Semaphore::new(all as usize)),
            ledger: Mutex::default(),
            refused: AtomicU64::default(),
        }))
    }

    /// A place for a client's request of this size. A client gets no more places than it leaves to
    /// others, and a request no more than half of the memory that is left, so that nobody who floods
    /// locks others out.
    pub(super) fn take(&self, class: Class, client: &str, bytes: usize) -> Result<Place, Refusal> {
        let mut ledger = self.0.ledger();
        let holder = Holder { client: client.into(), class };
        let left = class.places_left(self.0.waiting_max) as usize;
        let free = self.0.free.available_permits().saturating_sub(left);
        let held = ledger.held.get(&holder).map_or(0, Held::places);
        if free == 0 {
            return Err(Refusal::Full);
        }
        if held as usize > free {
            return Err(Refusal::Greedy { held, free });
        }
        if bytes > BYTES_MAX.saturating_sub(ledger.bytes) / 2 {
            return Err(Refusal::Large { bytes });
        }
        let permit = Arc::clone(&self.0.free).try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::Full)?;
        ledger.held.entry(holder.clone()).or_default().aside += 1;
        ledger.bytes += bytes;
        let inner = Arc::clone(&self.0);
        Ok(Place { holder, stage: Stage::Aside, bytes, inner, _permit: permit })
    }

    /// How many are held.
    pub(super) fn taken(&self) -> u32 {
        let free = u32::try_from(self.0.free.available_permits()).unwrap_or(u32::MAX);
        self.0.all.saturating_sub(free)
    }

    /// Whether nobody holds any.
    pub(super) fn are_free(&self) -> bool {
        self.taken() == 0
    }

    /// Waits until nobody holds any.
    pub(super) async fn all_free(&self) -> Result<(), AcquireError> {
        self.0.free.acquire_many(self.0.all).await.map(drop)
    }

    /// Counts somebody who was sent away.
    pub(super) fn refuse(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Those who were sent away since the start.
    pub(super) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    pub(super) fn load(&self) -> Load {
        let mut load = Load::default();
        let mut clients: HashMap<Arc<str>, Held> = HashMap::new();
        for (holder, held) in &self.0.ledger().held {
            load.running += held.running;
            load.waiting[holder.class as usize] += held.waiting;
            let client = clients.entry(Arc::clone(&holder.client)).or_default();
            client.running += held.running;
            client.waiting += held.waiting;
        }
        let busy = clients.into_iter().filter(|(_, held)| held.running + held.waiting > 0);
        let shown = busy.map(|(client, Held { running, waiting, .. })| ClientLoad {
            client: client.to_string(),
            running,
            waiting,
        });
        load.clients = shown.collect();
        load.clients.sort_unstable_by(|a, b| {
            let busy = |client: &ClientLoad| client.running + client.waiting;
            busy(b).cmp(&busy(a)).then_with(|| a.client.cmp(&b.client))
        });
        load.clients.truncate(SHOWN_MAX);
        load
    }
}

impl Inner {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn places(&self) -> u32 {
        self.aside + self.waiting + self.running
    }

    fn at(&mut self, stage: Stage) -> &mut u32 {
        match stage {
            Stage::Aside => &mut self.aside,
            Stage::Waiting => &mut self.waiting,
            Stage::Running => &mut self.running,
        }
    }
}

impl Place {
    /// Who holds it.
    pub(super) fn client(&self) -> &Arc<str> {
        &self.holder.client
    }

    /// For which kind of work.
    pub(super) fn class(&self) -> Class {
        self.holder.class
    }

    /// Its question waits for a slot.
    pub(super) fn waits(&mut self) {
        self.becomes(Stage::Waiting);
    }

    /// Its question has a slot.
    pub(super) fn runs(&mut self) {
        self.becomes(Stage::Running);
    }

    fn becomes(&mut self, stage: Stage) {
        let before = mem::replace(&mut self.stage, stage);
        if let Some(held) = self.inner.ledger().held.get_mut(&self.holder) {
            *held.at(before) -= 1;
            *held.at(stage) += 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut ledger = self.inner.ledger();
        ledger.bytes -= self.bytes;
        if let Entry::Occupied(mut entry) = ledger.held.entry(self.holder.clone()) {
            *entry.get_mut().at(self.stage) -= 1;
            if entry.get().places() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn flood(places: &Places, class: Class, client: &str) -> Vec<Place> {
        std::iter::from_fn(|| places.take(class, client, 1).ok()).collect()
    }

    #[test]
    fn clients_that_ask_for_all_they_can_get_each_leave_half_to_the_next() {
        let places = Places::new(8, 56);
        let held: Vec<_> =
            (0..4).map(|client| flood(&places, Class::Batch, &client.to_string())).collect();
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [29, 15, 7, 4]);
    }

    #[test]
    fn a_client_that_floods_is_told_what_it_holds_and_may_still_ask_for_a_person() {
        let places = Places::new(3, 7);
        let held = flood(&places, Class::Batch, "a");
        assert_eq!(held.len(), 6);
        let refusal = places.take(Class::Batch, "a", 1).unwrap_err();
        assert_eq!(refusal, Refusal::Greedy { held: 6, free: 4 });
        assert!(places.take(Class::Interactive, "a", 1).is_ok());
        drop(held);
        assert!(places.are_free());
        assert_eq!(places.load(), Load::default(), "nobody is remembered");
    }

    #[test]
    fn a_person_finds_a_place_however_many_programs_wait() {
        let places = Places::new(8, 64);
        let held: Vec<_> = (0..1000)
            .map_while(|client| places.take(Class::Batch, &client.to_string(), 1).ok())
            .collect();
        assert_eq!(held.len(), 64);
        assert_eq!(places.take(Class::Background, "one more", 1).unwrap_err(), Refusal::Full);
        assert!(places.take(Class::Interactive, "a person", 1).is_ok());
    }

    #[test]
    fn what_waits_in_the_background_leaves_places_to_programs() {
        let places = Places::new(8, 64);
        let held: Vec<_> = (0..1000)
            .map_while(|client| places.take(Class::Background, &client.to_string(), 1).ok())
            .collect();
        assert_eq!(held.len(), 40);
        assert!(places.take(Class::Batch, "a program", 1).is_ok());
    }

    #[test]
    fn the_last_place_can_be_had() {
        let places = Places::new(1, 1);
        let held = flood(&places, Class::Batch, "a");
        assert_eq!(held.len(), 2);
        assert_eq!(places.take(Class::Batch, "b", 1).unwrap_err(), Refusal::Full);
    }

    #[test]
    fn however_large_requests_are_their_memory_is_bounded_and_a_small_one_finds_room() {
        let places = Places::new(8, 1000);
        let large = 16 << 20;
        let held: Vec<_> = (0..1000)
            .map_while(|client| places.take(Class::Batch, &client.to_string(), large).ok())
            .collect();
        assert!((2..=8).contains(&held.len()), "{}", held.len());
        let refusal = places.take(Class::Batch, "a", large).unwrap_err();
        assert_eq!(refusal, Refusal::Large { bytes: large });
        assert!(places.take(Class::Batch, "a", 1 << 20).is_ok());
        drop(held);
        assert!(places.take(Class::Batch, "a", large).is_ok());
    }

    #[test]
    fn the_load_tells_who_waits_and_runs_and_the_busiest_first() {
        let places = Places::new(3, 7);
        let take = |class, client| places.take(class, client, 1).unwrap();
        let _aside = take(Class::Batch, "embeds");
        let mut idle = take(Class::Background, "a");
        let mut batch = [take(Class::Batch, "b"), take(Class::Batch, "b")];
        idle.waits();
        batch.iter_mut().for_each(Place::waits);
        batch[0].runs();
        let load = places.load();
        assert_eq!((load.running, load.waiting), (1, [0, 1, 1]));
        let client =
            |name: &str, running, waiting| ClientLoad { client: name.to_owned(), running, waiting };
        assert_eq!(load.clients, [client("b", 1, 1), client("a", 0, 1)]);
    }
}
