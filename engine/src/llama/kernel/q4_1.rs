//! Products with weights in `Q4_1`: blocks of 32 weights with a scale `d` and a least value `m`, a
//! weight being `d · q + m` with `q` from 0 to 15. Vectors are rounded to eight bits, block by
//! block, as llama.cpp does.
//!
//! Lanes of a vector register are rows. Every result is summed in the same order, block by block,
//! however many columns are computed together: a token's values do not depend on its neighbours.

use std::arch::x86_64::{
    __m512, __m512i, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T0, _mm_cvtph_ps, _mm_cvtps_ph,
    _mm_cvtss_f32, _mm_loadu_si128, _mm_prefetch, _mm_set_ss, _mm_storeu_si128, _mm512_abs_ps,
    _mm512_add_epi32, _mm512_and_si512, _mm512_castsi128_si512, _mm512_cvtepi32_epi8,
    _mm512_cvtepi32_epi16, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_cvtps_epi32,
    _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_inserti32x4, _mm512_loadu_epi32, _mm512_loadu_ps,
    _mm512_max_ps, _mm512_mul_ps, _mm512_reduce_add_epi32, _mm512_reduce_max_ps, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srli_epi16,
    _mm512_srli_epi32, _mm512_storeu_ps, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

/// Weights of a block.
pub const BLOCK: usize = 32;

/// Bytes of a block: two half-precision floats, then 32 half bytes; byte `i` holds weights `i`
/// and `i + 16`.
pub const BLOCK_BYTES: usize = 20;

/// Rows that are computed together.
pub const LANES: usize = 16;

/// Columns that unpacked weights serve; their sums stay in the first-level cache.
pub const COLUMNS_MAX: usize = 64;

/// Blocks whose bytes fill whole registers: 4 · 20 bytes are 5 · 16.
const GROUP: usize = 4;

/// One block of an eight-bit vector.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Column {
    /// A value is `scale` times its integer.
    scale: f32,
    /// The sum of the block's values.
    sum: f32,
    values: [[i8; 4]; 8],
}

/// Whether this CPU has the instructions; the answer does not change.
pub fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("f16c")
}

/// Rounds a vector to eight bits, block by block.
///
/// # Safety
/// [`is_supported`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
pub unsafe fn prepare(vector: &[f32], columns: &mut [Column]) {
    for (block, column) in vector.as_chunks::<BLOCK>().0.iter().zip(columns) {
        // SAFETY: a block has 2 · 16 floats, a column 2 · 16 integers.
        unsafe {
            let halves = [block.as_ptr(), block.as_ptr().add(16)].map(|half| _mm512_loadu_ps(half));
            let [low, high] = halves.map(|half| _mm512_abs_ps(half));
            let largest = _mm512_reduce_max_ps(_mm512_max_ps(low, high));
            let steps = if largest == 0.0 { 0.0 } else { 127.0 / largest };
            let [low, high] =
                halves.map(|half| _mm512_cvtps_epi32(_mm512_mul_ps(half, _mm512_set1_ps(steps))));
            let values = column.values.as_mut_ptr();
            _mm_storeu_si128(values.cast(), _mm512_cvtepi32_epi8(low));
            _mm_storeu_si128(values.add(4).cast(), _mm512_cvtepi32_epi8(high));
            let scale = largest / 127.0;
            #[allow(clippy::cast_precision_loss, reason = "at most 32 · 127")]
            let sum = _mm512_reduce_add_epi32(_mm512_add_epi32(low, high)) as f32;
            column.scale = halved(scale);
            column.sum = halved(scale * sum);
        }
    }
}

/// A number as it is in half precision, which is how llama.cpp keeps these: its results and ours
/// are alike but for the order in which they are summed. One too large for that stays as it is.
#[inline]
#[target_feature(enable = "f16c")]
fn halved(number: f32) -> f32 {
    let half = _mm_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm_set_ss(number));
    let half = _mm_cvtss_f32(_mm_cvtph_ps(half));
    if half.is_finite() { half } else { number }
}

/// Multiplies [`LANES`] rows of `blocks` blocks with at most [`COLUMNS_MAX`] columns, and gives
/// each column's results to `write`.
///
/// # Safety
/// [`is_supported`]; `tile` has `LANES · blocks` blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
pub unsafe fn multiply(
    tile: &[u8],
    columns: &[Column],
    blocks: usize,
    mut write: impl FnMut(usize, [f32; LANES]),
) {
    let mut one = [_mm512_setzero_ps()];
    let mut many;
    // Two copies of the code: with one column its sums stay in a register.
    let sums: &mut [__m512] = if columns.len() == blocks {
        // SAFETY: as the caller says.
        unsafe { sum(tile, columns, blocks, &mut one) };
        &mut one
    } else {
        many = [_mm512_setzero_ps(); COLUMNS_MAX];
        // SAFETY: as the caller says.
        unsafe { sum(tile, columns, blocks, &mut many) };
        &mut many
    };
    let count = columns.len().checked_div(blocks).unwrap_or(0);
    for (column, sums) in sums.iter().take(count).enumerate() {
        let mut results = [0.0; LANES];
        // SAFETY: sixteen floats.
        unsafe { _mm512_storeu_ps(results.as_mut_ptr(), *sums) };
        write(column, results);
    }
}

/// Adds the products of a tile with each column.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
unsafe fn sum<const N: usize>(
    tile: &[u8],
    columns: &[Column],
    blocks: usize,
    sums: &mut [__m512; N],
) {
    let row = blocks * BLOCK_BYTES;
    let groups = blocks / GROUP;
    for group in 0..groups {
        let block = group * GROUP;
        // Sixteen rows are too many streams for the CPU to fetch ahead by itself, so the tile
        // behind this one is asked for, in the order in which it lies.
        for line in 0..GROUP * LANES * BLOCK_BYTES / 64 {
            let ahead = tile.len() + block * LANES * BLOCK_BYTES + line * 64;
            _mm_prefetch::<_MM_HINT_T0>(tile.as_ptr().wrapping_add(ahead).cast());
        }
        // SAFETY: the four blocks lie in each row.
        let words = unsafe {
            let at = tile.as_ptr().add(block * BLOCK_BYTES);
            [0, 16, 32, 48, 64].map(|bytes| transpose(at.add(bytes), row))
        };
        let words = words.as_flattened();
        for (i, [head, quarters @ ..]) in words.as_chunks::<5>().0.iter().enumerate() {
            add_block(*head, quarters, &columns[block + i..], blocks, sums);
        }
    }
    for block in groups * GROUP..blocks {
        // SAFETY: the block lies in each row.
        let (head, quarters) = unsafe {
            let at = tile.as_ptr().add(block * BLOCK_BYTES);
            let head: [i32; LANES] =
                std::array::from_fn(|r| at.add(r * row).cast::<i32>().read_unaligned());
            (_mm512_loadu_epi32(head.as_ptr()), transpose(at.add(4), row))
        };
        add_block(head, &quarters, &columns[block..], blocks, sums);
    }
}

/// Adds one block of all rows times the same block of each column. `head` has a row's `m` and `d`
/// in each lane, `quarters` four bytes each of its weights; the block of the next column is
/// `blocks` behind.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,f16c")]
fn add_block<const N: usize>(
    head: __m512i,
    quarters: &[__m512i; 4],
    columns: &[Column],
    blocks: usize,
    sums: &mut [__m512; N],
) {
    let scale = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(head));
    let least = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(head)));
    let nibble = _mm512_set1_epi8(15);
    let low = quarters.map(|bytes| _mm512_and_si512(bytes, nibble));
    let high = quarters.map(|bytes| _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), nibble));
    for (column, sum) in columns.iter().step_by(blocks).zip(sums) {
        let (first, second) = column.values.split_at(4);
        let mut dots = [_mm512_setzero_si512(); 2];
        for i in 0..4 {
            dots[0] = _mm512_dpbusd_epi32(dots[0], low[i], four(first[i]));
            dots[1] = _mm512_dpbusd_epi32(dots[1], high[i], four(second[i]));
        }
        let dots = _mm512_cvtepi32_ps(_mm512_add_epi32(dots[0], dots[1]));
        let scale = _mm512_mul_ps(scale, _mm512_set1_ps(column.scale));
        *sum = _mm512_fmadd_ps(dots, scale, *sum);
        *sum = _mm512_fmadd_ps(least, _mm512_set1_ps(column.sum), *sum);
    }
}

/// The same four values for all rows.
#[inline]
#[target_feature(enable = "avx512f")]
fn four(values: [i8; 4]) -> __m512i {
    _mm512_set1_epi32(i32::from_ne_bytes(values.map(i8::cast_unsigned)))
}

/// Four words of each of sixteen rows, `row` bytes apart: the first register gets the first word
/// of every row.
///
/// # Safety
/// 16 bytes at `at` and at each row behind it can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn transpose(at: *const u8, row: usize) -> [__m512i; 4] {
    // Register r: rows r, r + 4, r + 8 and r + 12.
    let [a, b, c, d] = [0, 1, 2, 3].map(|r| {
        // SAFETY: as the caller says.
        let [a, b, c, d] =
            [r, r + 4, r + 8, r + 12].map(|r| unsafe { _mm_loadu_si128(at.add(r * row).cast()) });
        let all = _mm512_castsi128_si512(a);
        let all = _mm512_inserti32x4::<1>(all, b);
        let all = _mm512_inserti32x4::<2>(all, c);
        _mm512_inserti32x4::<3>(all, d)
    });
    let (a, b, c, d) = (
        _mm512_unpacklo_epi32(a, b),
        _mm512_unpackhi_epi32(a, b),
        _mm512_unpacklo_epi32(c, d),
        _mm512_unpackhi_epi32(c, d),
    );
    [
        _mm512_unpacklo_epi64(a, c),
        _mm512_unpackhi_epi64(a, c),
        _mm512_unpacklo_epi64(b, d),
        _mm512_unpackhi_epi64(b, d),
    ]
}
