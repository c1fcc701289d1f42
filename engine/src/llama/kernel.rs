//! A matrix kernel of our own for weights in `Q4_1`, the format of the default model, where the CPU
//! has AVX-512 with VNNI.
//!
//! llama.cpp multiplies this format row by row and column by column, and unpacks the weights each
//! time. [`q4_1`] takes sixteen rows at once and unpacks them once for up to 64 columns: a prompt
//! is read three to four times as fast, and a single token a quarter faster.
//!
//! ggml asks, before it computes a node, whether an "extra" implementation takes it. The linker
//! gives that question to the two functions below (see `build.rs`), and what is not for us goes
//! on to ggml's own answer. Nothing else depends on ggml's insides.

mod q4_1;

use std::ffi::{c_int, c_void};

use llama_cpp_sys_2 as sys;

use q4_1::{BLOCK, BLOCK_BYTES, Column, LANES};

/// `struct ggml_compute_params` of ggml-cpu-impl.h: which thread of how many computes a node.
/// Not in a public header, so that the version of llama.cpp is pinned; a test computes a graph.
#[repr(C)]
struct ComputeParams {
    ith: c_int,
    nth: c_int,
    wsize: usize,
    wdata: *mut c_void,
    threadpool: *mut c_void,
    use_ref: bool,
}

unsafe extern "C" {
    fn __real_ggml_cpu_extra_compute_forward(
        params: *mut ComputeParams,
        node: *mut sys::ggml_tensor,
    ) -> bool;
    fn __real_ggml_cpu_extra_work_size(
        threads: c_int,
        node: *const sys::ggml_tensor,
        bytes: *mut usize,
    ) -> bool;
    fn ggml_barrier(threadpool: *mut c_void);
}

/// A product that this kernel computes: `weights`, `rows` × `blocks` · [`BLOCK`], times
/// `columns` vectors.
struct Product {
    weights: *const u8,
    rows: usize,
    blocks: usize,
    columns: usize,
    /// Vectors of activations, `vector_floats` apart.
    vectors: *const f32,
    vector_floats: usize,
    /// Where results go: one for each row, `output_floats` apart from column to column.
    output: *mut f32,
    output_floats: usize,
}

/// What a node asks for, if it is a product for this kernel.
///
/// # Safety
/// The node and its sources are tensors of a graph.
unsafe fn product(node: *const sys::ggml_tensor) -> Option<Product> {
    // SAFETY: as the caller says. Sources of a node are set before it is computed.
    let (node, weights, vectors) = unsafe {
        let node = &*node;
        if node.op != sys::GGML_OP_MUL_MAT {
            return None;
        }
        (node, &**node.src.first()?, &**node.src.get(1)?)
    };
    let [length, rows, 1, 1] = weights.ne.map(|n| usize::try_from(n).unwrap_or(0)) else {
        return None;
    };
    let [_, columns, 1, 1] = vectors.ne.map(|n| usize::try_from(n).unwrap_or(0)) else {
        return None;
    };
    let blocks = length / BLOCK;
    let ours = weights.type_ == sys::GGML_TYPE_Q4_1
        && blocks > 0
        && columns > 0
        && vectors.type_ == sys::GGML_TYPE_F32
        && rows % LANES == 0
        && weights.nb[1] == blocks * BLOCK_BYTES
        && vectors.nb[0] == size_of::<f32>()
        && node.nb[0] == size_of::<f32>()
        // Elsewhere, such as in the buffers of repacked weights, bytes have another order.
        // SAFETY: a weight lies in a buffer, or in none.
        && (weights.buffer.is_null() || unsafe { sys::ggml_backend_buffer_is_host(weights.buffer) })
        && q4_1::is_supported();
    ours.then(|| Product {
        weights: weights.data.cast(),
        rows,
        blocks,
        columns,
        vectors: vectors.data.cast(),
        vector_floats: vectors.nb[1] / size_of::<f32>(),
        output: node.data.cast(),
        output_floats: node.nb[1] / size_of::<f32>(),
    })
}

impl Product {
    /// Whether every thread prepares the one vector for itself, which takes less time than waiting
    /// for each other.
    fn is_private(&self) -> bool {
        self.columns == 1
    }

    /// Room for prepared columns.
    fn work_bytes(&self, threads: usize) -> usize {
        let vectors = if self.is_private() { threads } else { self.columns };
        vectors * self.blocks * size_of::<Column>()
    }

    /// Computes the share of thread `ith` of `nth`.
    ///
    /// # Safety
    /// All threads of a team call this with the same product and with `work` of
    /// [`Self::work_bytes`]; `wait` returns when all of them have called it.
    unsafe fn compute(&self, ith: usize, nth: usize, work: *mut Column, wait: impl FnOnce()) {
        let start = if self.is_private() { ith * self.blocks } else { 0 };
        // SAFETY: the room is as large as `work_bytes` says, so `start` lies in it.
        let prepared = unsafe { work.add(start) };
        let mine = if self.is_private() { 0..1 } else { share(self.columns, ith, nth) };
        for column in mine {
            // SAFETY: a vector has `blocks` blocks of f32, and no other thread prepares it there.
            unsafe {
                let vector = self.vectors.add(column * self.vector_floats);
                let vector = std::slice::from_raw_parts(vector, self.blocks * BLOCK);
                let room = prepared.add(column * self.blocks);
                q4_1::prepare(vector, std::slice::from_raw_parts_mut(room, self.blocks));
            }
        }
        if !self.is_private() {
            wait();
        }
        // SAFETY: every column was prepared before `wait` returned, or by this thread.
        let columns = unsafe { std::slice::from_raw_parts(prepared, self.columns * self.blocks) };
        let tile_bytes = LANES * self.blocks * BLOCK_BYTES;
        for (group, columns) in columns.chunks(q4_1::COLUMNS_MAX * self.blocks).enumerate() {
            for tile in share(self.rows / LANES, ith, nth) {
                let first = group * q4_1::COLUMNS_MAX * self.output_floats + tile * LANES;
                // SAFETY: the weights have `rows` rows of `blocks` blocks; the sixteen results of
                // this tile in each column are written by this thread alone.
                unsafe {
                    let tile = self.weights.add(tile * tile_bytes);
                    let tile = std::slice::from_raw_parts(tile, tile_bytes);
                    q4_1::multiply(tile, columns, self.blocks, |column, results| {
                        let output = self.output.add(first + column * self.output_floats);
                        output.cast::<[f32; LANES]>().write_unaligned(results);
                    });
                }
            }
        }
    }
}

/// The part of `0..count` that thread `ith` of `nth` takes.
fn share(count: usize, ith: usize, nth: usize) -> std::ops::Range<usize> {
    count * ith / nth..count * (ith + 1) / nth
}

/// ggml's question whether a node is computed by something other than its usual kernels.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_ggml_cpu_extra_compute_forward(
    params: *mut ComputeParams,
    node: *mut sys::ggml_tensor,
) -> bool {
    // SAFETY: ggml calls this with a node of the graph and each thread's own parameters; `wdata`
    // is as large as the function below said, or larger for another node's sake.
    unsafe {
        let (Some(product), false) = (product(node), (*params).use_ref) else {
            return __real_ggml_cpu_extra_compute_forward(params, node);
        };
        let params = &*params;
        let (Ok(ith), Ok(nth)) = (usize::try_from(params.ith), usize::try_from(params.nth)) else {
            return false;
        };
        product.compute(ith, nth, params.wdata.cast(), || ggml_barrier(params.threadpool));
    }
    true
}

/// ggml's question how many bytes it needs for that.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_ggml_cpu_extra_work_size(
    threads: c_int,
    node: *const sys::ggml_tensor,
    bytes: *mut usize,
) -> bool {
    // SAFETY: ggml calls this with a node of the graph and a place for the answer.
    unsafe {
        let Some(product) = product(node) else {
            return __real_ggml_cpu_extra_work_size(threads, node, bytes);
        };
        let needed = product.work_bytes(usize::try_from(threads).unwrap_or(1));
        // At least what ggml's own kernel needs, which computes the node when `use_ref` is set.
        let own = sys::ggml_row_size(
            sys::GGML_TYPE_Q8_1,
            i64::try_from(product.columns * product.blocks * BLOCK).unwrap_or(i64::MAX),
        );
        *bytes = needed.max(own);
    }
    true
}

#[cfg(test)]
mod tests;
