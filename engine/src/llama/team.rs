//! The threads that llama.cpp computes with: a replacement for the five functions of the OpenMP
//! runtime that ggml's CPU code calls, linked in their place.
//!
//! A graph has some hundred barriers, a few microseconds apart. Waiting at them by spinning is
//! fastest on an idle machine, and ruinous when another program wants the cores: a thread that
//! spins for one that is not running takes the very time slice that the other needs. libgomp
//! chooses once, from the environment at start-up. Here [`super::set_patience`] chooses at any moment.
//!
//! Only ggml's own objects see these symbols; whatever links libgomp itself still calls that.

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::hint::spin_loop;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::patience::spinning;

/// How long a spinning thread waits for the next graph before it sleeps all the same: longer than
/// the pause between two steps of an answer.
const SPIN_BETWEEN: Duration = Duration::from_millis(5);

/// How long it waits at a barrier: threads get equal shares, so one that is so late does not run.
const SPIN_WITHIN: Duration = Duration::from_micros(200);

/// Rounds of spinning between two looks at the clock.
const ROUNDS: u32 = 64;

/// Threads of a team at most; llama.cpp's own limit.
const TEAM_MAX: u32 = 512;

/// Bits that hold the size of a team in what `Team::start` counts.
const SIZE_BITS: u32 = 10;

/// A number that threads wait on to change.
struct Gate {
    count: AtomicU32,
    sleepers: AtomicU32,
}

impl Gate {
    const fn new() -> Self {
        Self { count: AtomicU32::new(0), sleepers: AtomicU32::new(0) }
    }

    fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// Lets through all that wait. Everything written before is seen by them.
    fn open(&self, count: u32) {
        // Sequentially consistent, as are the sleepers' own accesses: one of both sides sees what
        // the other did, and nobody sleeps through the change.
        self.count.store(count, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            futex(&self.count, libc::FUTEX_WAKE, c_int::MAX.unsigned_abs());
        }
    }

    /// Waits until the count is another than `seen`.
    fn pass(&self, seen: u32, spin: Duration) {
        if spinning() {
            let start = Instant::now();
            while start.elapsed() < spin {
                for _ in 0..ROUNDS {
                    if self.count() != seen {
                        return;
                    }
                    spin_loop();
                }
                if !spinning() {
                    break;
                }
            }
        }
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while self.count.load(Ordering::SeqCst) == seen {
            futex(&self.count, libc::FUTEX_WAIT, seen);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `FUTEX_WAIT` returns when woken, when the value is not `value` any more, or for no reason.
fn futex(word: &AtomicU32, operation: c_int, value: u32) {
    // SAFETY: the word is aligned and lives during the call; a null timeout means none.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            operation | libc::FUTEX_PRIVATE_FLAG,
            value,
            ptr::null::<libc::timespec>(),
        );
    }
}

/// What a team works on.
type Region = extern "C" fn(*mut c_void);

/// The one team of the process: its first thread is whichever calls `GOMP_parallel`.
struct Team {
    /// Counts regions, in steps of `1 << SIZE_BITS`; the bits below are the size of the region's
    /// team. In one number, as a thread without a part in the region may look at any time.
    start: Gate,
    barrier: Gate,
    arrived: AtomicU32,
    /// Written before `start` opens, read behind it.
    region: AtomicPtr<c_void>,
    data: AtomicPtr<c_void>,
    /// `single` constructs that a thread has taken in this region.
    singles: AtomicU32,
    /// Threads that were started so far, the first one not counted. Locked during a region.
    started: Mutex<u32>,
}

static TEAM: Team = Team {
    start: Gate::new(),
    barrier: Gate::new(),
    arrived: AtomicU32::new(0),
    region: AtomicPtr::new(ptr::null_mut()),
    data: AtomicPtr::new(ptr::null_mut()),
    singles: AtomicU32::new(0),
    started: Mutex::new(0),
};

/// A thread's place in its region.
#[derive(Clone, Copy)]
struct Place {
    index: u32,
    size: u32,
    singles: u32,
}

const ALONE: Place = Place { index: 0, size: 1, singles: 0 };

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(ALONE) };
}

impl Team {
    /// Runs a region with up to `size` threads, of which the caller is one.
    fn run(&'static self, region: Region, data: *mut c_void, size: u32) {
        let mut started = match self.started.try_lock() {
            Ok(started) => started,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // A second region at the same time, or one within another, has a team of its own: the
            // thread that asked.
            Err(TryLockError::WouldBlock) => return alone(region, data),
        };
        while *started + 1 < size && self.recruit(*started + 1) {
            *started += 1;
        }
        let size = size.min(*started + 1);
        if size == 1 {
            drop(started);
            return alone(region, data);
        }
        self.region.store(region as *mut c_void, Ordering::Relaxed);
        self.data.store(data, Ordering::Relaxed);
        self.singles.store(0, Ordering::Relaxed);
        let region_number = (self.start.count() >> SIZE_BITS).wrapping_add(1);
        self.start.open(region_number << SIZE_BITS | size);
        PLACE.set(Place { index: 0, size, singles: 0 });
        region(data);
        self.meet(size);
        PLACE.set(ALONE);
    }

    /// Starts the member with this index.
    fn recruit(&'static self, index: u32) -> bool {
        let seen = self.start.count();
        let member = move || self.serve(index, seen);
        thread::Builder::new().name(format!("compute {index}")).spawn(member).is_ok()
    }

    fn serve(&self, index: u32, mut seen: u32) {
        let mut spin = SPIN_BETWEEN;
        loop {
            self.start.pass(seen, spin);
            seen = self.start.count();
            let size = seen & ((1 << SIZE_BITS) - 1);
            if index >= size {
                // Its core was left to others.
                spin = Duration::ZERO;
                continue;
            }
            spin = SPIN_BETWEEN;
            PLACE.set(Place { index, size, singles: 0 });
            // SAFETY: `run` stored a `Region` before it opened `start`, and stores the next one
            // only after this member has been at the last barrier.
            let region = unsafe {
                std::mem::transmute::<*mut c_void, Region>(self.region.load(Ordering::Relaxed))
            };
            region(self.data.load(Ordering::Relaxed));
            self.meet(size);
        }
    }

    /// A barrier for `size` threads.
    fn meet(&self, size: u32) {
        let seen = self.barrier.count();
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == size {
            self.arrived.store(0, Ordering::Relaxed);
            self.barrier.open(seen.wrapping_add(1));
        } else {
            self.barrier.pass(seen, SPIN_WITHIN);
        }
    }
}

fn alone(region: Region, data: *mut c_void) {
    let place = PLACE.replace(ALONE);
    region(data);
    PLACE.set(place);
}

/// `#pragma omp parallel num_threads(size)`; `size` is 0 where the pragma names none.
#[unsafe(no_mangle)]
extern "C" fn GOMP_parallel(region: Region, data: *mut c_void, size: c_uint, _flags: c_uint) {
    let size = match size {
        0 => thread::available_parallelism().map_or(1, |cores| cores.get().try_into().unwrap_or(1)),
        size => size,
    };
    TEAM.run(region, data, size.min(TEAM_MAX));
}

/// `#pragma omp barrier`, and the end of a `single`.
#[unsafe(no_mangle)]
extern "C" fn GOMP_barrier() {
    let size = PLACE.get().size;
    if size > 1 {
        TEAM.meet(size);
    }
}

/// `#pragma omp single`: true for the first thread that comes.
#[unsafe(no_mangle)]
extern "C" fn GOMP_single_start() -> bool {
    let place = PLACE.get();
    PLACE.set(Place { singles: place.singles + 1, ..place });
    let taken = || {
        let (from, to) = (place.singles, place.singles + 1);
        TEAM.singles.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_err()
    };
    place.size == 1 || !taken()
}

/// Threads of the region.
#[unsafe(no_mangle)]
extern "C" fn omp_get_num_threads() -> c_int {
    PLACE.get().size.cast_signed()
}

/// Index of the calling thread in its region.
#[unsafe(no_mangle)]
extern "C" fn omp_get_thread_num() -> c_int {
    PLACE.get().index.cast_signed()
}

#[cfg(test)]
mod tests;
