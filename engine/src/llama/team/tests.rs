//! The team against what OpenMP promises.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use llama_cpp_sys_2 as sys;

use super::super::patience::{Patience, set_patience};
use super::*;

const REGIONS: usize = 200;
const BARRIERS: u64 = 20;

/// What the members of a region do and find.
#[derive(Default)]
struct Work {
    arrivals: AtomicU64,
    singles: AtomicU64,
    indexes: AtomicU64,
    early: AtomicUsize,
}

/// Every member counts before a barrier, and finds all members counted behind it.
extern "C" fn work(data: *mut c_void) {
    // SAFETY: the tests below pass a `Work` that outlives the region.
    let work = unsafe { &*data.cast::<Work>() };
    let size = u64::try_from(omp_get_num_threads()).unwrap();
    work.indexes.fetch_or(1 << omp_get_thread_num(), Ordering::Relaxed);
    for round in 1..=BARRIERS {
        work.arrivals.fetch_add(1, Ordering::Relaxed);
        GOMP_barrier();
        if work.arrivals.load(Ordering::Relaxed) < round * size {
            work.early.fetch_add(1, Ordering::Relaxed);
        }
        if GOMP_single_start() {
            work.singles.fetch_add(1, Ordering::Relaxed);
        }
        GOMP_barrier();
    }
}

fn run(size: u32) -> Work {
    let mut work = Work::default();
    GOMP_parallel(self::work, (&raw mut work).cast(), size, 0);
    work
}

/// A region that names no size has a thread for each core.
fn members(size: u32) -> u32 {
    let cores = || thread::available_parallelism().unwrap().get().try_into().unwrap();
    if size == 0 { cores() } else { size }
}

/// The same when the team is free: tests beside this one compute with it, too.
fn run_together(size: u32) -> Work {
    loop {
        let work = run(size);
        if work.indexes.load(Ordering::Relaxed).count_ones() == members(size) {
            return work;
        }
        thread::yield_now();
    }
}

/// Has ggml compute a small graph with two threads.
fn compute_graph() {
    // SAFETY: a context with room for two small matrices, which ggml fills with zeros, their
    // product and a graph.
    unsafe {
        let context = sys::ggml_init(sys::ggml_init_params {
            mem_size: 1 << 20,
            mem_buffer: ptr::null_mut(),
            no_alloc: false,
        });
        let matrix = || sys::ggml_new_tensor_2d(context, sys::GGML_TYPE_F32, 32, 32);
        let (left, right) = (sys::ggml_set_zero(matrix()), sys::ggml_set_zero(matrix()));
        let graph = sys::ggml_new_graph(context);
        sys::ggml_build_forward_expand(graph, sys::ggml_mul_mat(context, left, right));
        sys::ggml_graph_compute_with_ctx(context, graph, 2);
        sys::ggml_free(context);
    }
}

#[test]
fn ggml_computes_with_the_team() {
    let before = TEAM.start.count();
    let deadline = Instant::now() + Duration::from_secs(30);
    // Tests beside this one hold the team at times, and then a graph is computed without.
    while TEAM.start.count() == before {
        assert!(Instant::now() < deadline, "ggml was linked with another OpenMP runtime");
        compute_graph();
    }
}

/// One test, as the team is one for the whole process.
#[test]
fn regions_of_any_size_keep_their_barriers_however_threads_wait() {
    for number in 0..REGIONS {
        set_patience(if number % 2 == 0 { Patience::Spin } else { Patience::Sleep });
        let size = u32::try_from(number % 5).unwrap();
        let work = run_together(size);
        let members = u64::from(members(size));
        assert_eq!(work.early.into_inner(), 0, "region {number} of {size}");
        assert_eq!(work.arrivals.into_inner(), BARRIERS * members);
        assert_eq!(work.singles.into_inner(), BARRIERS);
        assert_eq!(work.indexes.into_inner(), (1 << members) - 1);
    }
    let inner = {
        let held = TEAM.started.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = run(4);
        drop(held);
        inner
    };
    assert_eq!(inner.indexes.into_inner(), 1, "a region within a region has one thread");
    assert_eq!((omp_get_num_threads(), omp_get_thread_num()), (1, 0));
    set_patience(Patience::Spin);
}
