#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "tests")]

use std::ptr;

use super::q4_1::{BLOCK, BLOCK_BYTES, COLUMNS_MAX};
use super::*;

/// Elsewhere ggml's own kernels compute, and there is nothing to test.
fn is_used() -> bool {
    super::q4_1::is_supported()
}

/// Numbers from -1 to 1 that look random.
fn numbers(count: usize, mut seed: u32) -> Vec<f32> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Rows of weights in `Q4_1`, as llama.cpp rounds them.
fn weights(rows: usize, blocks: usize) -> Vec<u8> {
    let values = numbers(rows * blocks * BLOCK, 7);
    let mut bytes = vec![0; rows * blocks * BLOCK_BYTES];
    let (rows, length) = (i64::try_from(rows).unwrap(), i64::try_from(blocks * BLOCK).unwrap());
    // SAFETY: source and destination are as large as the numbers say; no weight is special.
    let written = unsafe {
        sys::ggml_quantize_chunk(
            sys::GGML_TYPE_Q4_1,
            values.as_ptr(),
            bytes.as_mut_ptr().cast(),
            0,
            rows,
            length,
            ptr::null(),
        )
    };
    assert_eq!(written, bytes.len());
    bytes
}

/// The weights as numbers.
fn unpacked(bytes: &[u8]) -> Vec<f64> {
    let half = |at: &[u8]| {
        // SAFETY: converts a number.
        f64::from(unsafe { sys::ggml_fp16_to_fp32(u16::from_le_bytes([at[0], at[1]])) })
    };
    let block = |bytes: &[u8]| {
        let (d, m) = (half(bytes), half(&bytes[2..]));
        let low = bytes[4..].iter().map(|byte| byte & 15);
        let high = bytes[4..].iter().map(|byte| byte >> 4);
        low.chain(high).map(|q| d * f64::from(q) + m).collect::<Vec<_>>()
    };
    bytes.chunks(BLOCK_BYTES).flat_map(block).collect()
}

/// What `threads` threads compute: results of all rows, column by column.
fn multiply(weights: &[u8], rows: usize, vectors: &[f32], threads: usize) -> Vec<f32> {
    let blocks = weights.len() / rows / BLOCK_BYTES;
    let columns = vectors.len() / blocks / BLOCK;
    let mut output = vec![f32::NAN; rows * columns];
    let product = Product {
        weights: weights.as_ptr(),
        rows,
        blocks,
        columns,
        vectors: vectors.as_ptr(),
        vector_floats: blocks * BLOCK,
        output: output.as_mut_ptr(),
        output_floats: rows,
    };
    let mut work = vec![Column::default(); product.work_bytes(threads) / size_of::<Column>()];
    if product.is_private() {
        for ith in 0..threads {
            // SAFETY: one thread after the other; none waits for another's column.
            unsafe { product.compute(ith, threads, work.as_mut_ptr(), || ()) };
        }
    } else {
        // SAFETY: the only thread prepares all columns itself.
        unsafe { product.compute(0, 1, work.as_mut_ptr(), || ()) };
    }
    output
}

#[test]
fn products_are_those_of_the_unpacked_weights() {
    if !is_used() {
        return;
    }
    for (rows, blocks) in [(16, 1), (48, 3), (16, 4), (32, 6), (64, 18)] {
        let weights = weights(rows, blocks);
        let plain = unpacked(&weights);
        for columns in [1, 2, 5, COLUMNS_MAX, COLUMNS_MAX + 3] {
            let vectors = numbers(columns * blocks * BLOCK, 11);
            let results = multiply(&weights, rows, &vectors, 1);
            for (i, result) in results.iter().enumerate() {
                let (column, row) = (i / rows, i % rows);
                let length = blocks * BLOCK;
                let weights = &plain[row * length..][..length];
                let vector = &vectors[column * length..][..length];
                let exact: f64 = weights.iter().zip(vector).map(|(w, x)| w * f64::from(*x)).sum();
                // Eight bits: each value is off by at most 1/254 of the largest, at random.
                let size: f64 = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
                assert!(
                    (f64::from(*result) - exact).abs() < 5.0 * size / 254.0,
                    "{rows} rows, {blocks} blocks, {columns} columns: {result} for {exact}"
                );
            }
        }
    }
}

#[test]
fn a_column_has_the_same_bits_alone_and_among_others() {
    if !is_used() {
        return;
    }
    let (rows, blocks) = (32, 7);
    let weights = weights(rows, blocks);
    let vectors = numbers(130 * blocks * BLOCK, 5);
    let together = multiply(&weights, rows, &vectors, 1);
    for (column, vector) in vectors.chunks(blocks * BLOCK).enumerate() {
        let alone = multiply(&weights, rows, vector, 2);
        assert_eq!(together[column * rows..][..rows], alone, "column {column}");
    }
}

#[test]
fn zeros_and_huge_values_stay_numbers() {
    if !is_used() {
        return;
    }
    let weights = weights(16, 2);
    assert_eq!(multiply(&weights, 16, &[0.0; 2 * BLOCK], 1), [0.0; 16]);
    let huge = multiply(&weights, 16, &[1e30; 2 * BLOCK], 1);
    assert!(huge.iter().all(|value| value.is_finite()), "{huge:?}");
}

/// The whole way: the linker has put the kernel before ggml's, and ggml's threads agree with it.
#[test]
fn ggml_computes_its_graphs_with_this_kernel() {
    if !is_used() {
        return;
    }
    let (rows, blocks) = (64, 18);
    let weights = weights(rows, blocks);
    for columns in [1, 3, 70] {
        let vectors = numbers(columns * blocks * BLOCK, 3);
        let [length, width, height] =
            [blocks * BLOCK, rows, columns].map(|n| i64::try_from(n).unwrap());
        // SAFETY: a context with room for two tensors, their product and a graph; the data that is
        // copied is as long as the tensors.
        let computed = unsafe {
            let context = sys::ggml_init(sys::ggml_init_params {
                mem_size: 16 << 20,
                mem_buffer: ptr::null_mut(),
                no_alloc: false,
            });
            let left = sys::ggml_new_tensor_2d(context, sys::GGML_TYPE_Q4_1, length, width);
            let right = sys::ggml_new_tensor_2d(context, sys::GGML_TYPE_F32, length, height);
            (*left).data.cast::<u8>().copy_from(weights.as_ptr(), weights.len());
            (*right).data.cast::<f32>().copy_from(vectors.as_ptr(), vectors.len());
            let node = sys::ggml_mul_mat(context, left, right);
            let graph = sys::ggml_new_graph(context);
            sys::ggml_build_forward_expand(graph, node);
            sys::ggml_graph_compute_with_ctx(context, graph, 2);
            let data = (*node).data.cast::<f32>();
            let computed = std::slice::from_raw_parts(data, rows * columns).to_vec();
            sys::ggml_free(context);
            computed
        };
        // ggml's own kernel adds in another order, so its last bits are others.
        assert_eq!(computed, multiply(&weights, rows, &vectors, 1), "{columns} columns");
    }
}
