//! A context: the KV cache of all sequences, and decoding.

use std::os::raw::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::{Model, log};
use crate::vocabulary::Vocabulary;

/// Most tokens that go through the network at once; a longer batch is split by llama.cpp.
const PHYSICAL_BATCH_MAX: u32 = 512;

/// Bytes of the spare rows of logits, which a model with a large vocabulary has fewer of.
const SPARE_ROWS_BYTES_MAX: u32 = 16 << 20;

/// How to create a [`Context`].
#[derive(Debug, Clone, Copy)]
pub struct ContextSettings {
    /// KV cells shared by all sequences.
    pub tokens: u32,
    /// Sequences that run at most.
    pub sequences: u32,
    /// Further sequences that hold what may be of use again, where the model can share it.
    pub spare_sequences: u32,
    /// Rows of logits that a batch can have besides one a sequence, where the model can take
    /// tokens back. There are fewer where they would take more than 16 MiB.
    pub spare_rows: u32,
    /// Most tokens in one [`Context::decode`].
    pub batch: u32,
    /// Threads that compute.
    pub threads: u32,
    /// Use flash attention where the model allows it.
    pub flash_attention: bool,
    /// Attend by the one path that treats every row alike, and let [`Context::fill`] and
    /// [`Context::close_holes`] keep cells in order. Needs flash attention.
    pub exact: bool,
    /// Keep keys and values as blocks of 8-bit numbers. Needs flash attention, and has no effect where
    /// `exact` is set.
    pub quantized_kv: bool,
}

/// llama.cpp could not create the context, as a rule for want of memory. What its log says is for
/// those who can do something about it.
#[derive(Debug, thiserror::Error)]
#[error("llama.cpp cannot create a context; ask for fewer tokens of context or free memory")]
pub struct ContextError {
    /// The errors in llama.cpp's log.
    pub log: String,
}

/// Why a batch was not decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The KV cache has no room; nothing was changed.
    #[error("the KV cache has no room for the batch")]
    NoRoom,
    /// llama.cpp's state can no longer be trusted.
    #[error("llama_decode returned {0}")]
    Failed(i32),
    /// The pulse wanted it; some tokens may be in the cache, see [`Context::held`].
    #[error("the batch was aborted")]
    Aborted,
    /// A batch that llama.cpp would answer with an abort.
    #[error("a batch of {0} tokens is longer than the context takes, or names an unknown sequence")]
    Invalid(usize),
}

/// Tokens to decode together.
#[derive(Debug, Default)]
pub struct Batch {
    tokens: Vec<sys::llama_token>,
    positions: Vec<sys::llama_pos>,
    sequences: Vec<sys::llama_seq_id>,
    outputs: Vec<i8>,
}

impl Batch {
    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.sequences.clear();
        self.outputs.clear();
    }

    /// Adds a token and returns its row, under which its logits are found if `output` is set.
    pub fn push(&mut self, token: u32, position: u32, sequence: u32, output: bool) -> usize {
        self.tokens.push(token.cast_signed());
        self.positions.push(position.cast_signed());
        self.sequences.push(sequence.cast_signed());
        self.outputs.push(i8::from(output));
        self.tokens.len() - 1
    }
}

/// Called again and again while a batch is computed. Whether to abort it.
pub type Pulse = Box<dyn Fn() -> bool + Send>;

/// KV cache and compute buffers of one model. Used by one thread at a time.
pub struct Context {
    pub(super) handle: NonNull<sys::llama_context>,
    /// In a box of its own, to which llama.cpp holds a pointer until the handle is freed.
    pulse: Option<Box<Pulse>>,
    /// Keeps the weights alive, on which the context works.
    pub(super) model: Arc<Model>,
    tokens: u32,
    pub(super) sequences: u32,
    /// A sequence behind these, which holds the cells that nobody may have.
    pub(super) filler: Option<u32>,
    batch: u32,
    /// Rows of logits that a batch can have.
    rows: u32,
    shares: bool,
    /// Tokens that a layer with a sliding window looks back on; 0 when all layers see everything.
    pub(super) window: usize,
}

// SAFETY: llama.cpp ties a context to no thread; `&mut self` on decoding keeps it to one at a time.
unsafe impl Send for Context {}

impl Context {
    /// Creates a context with one KV cache for all sequences.
    pub fn new(model: Arc<Model>, settings: ContextSettings) -> Result<Self, ContextError> {
        let threads = i32::try_from(settings.threads).unwrap_or(i32::MAX);
        let shares = model.attends();
        let spare = if shares { settings.spare_sequences } else { 0 };
        let exact = settings.exact && shares;
        let most = super::sequences_max().saturating_sub(u32::from(exact));
        let sequences = settings.sequences.saturating_add(spare).min(most);
        // SAFETY: returns a plain structure.
        let mut parameters = unsafe { sys::llama_context_default_params() };
        parameters.n_ctx = settings.tokens;
        parameters.n_batch = settings.batch;
        parameters.n_ubatch = settings.batch.min(PHYSICAL_BATCH_MAX);
        parameters.n_seq_max = sequences + u32::from(exact);
        // llama.cpp has a row for each sequence; the spare ones need none. More rows take memory,
        // of the size of the vocabulary each.
        let row_bytes = model.size().saturating_mul(4).max(1);
        let spare_rows = settings.spare_rows.min(SPARE_ROWS_BYTES_MAX / row_bytes);
        let rows = settings.sequences.saturating_add(if shares { spare_rows } else { 0 });
        parameters.n_outputs_max = rows.max(parameters.n_seq_max);
        parameters.n_threads = threads;
        parameters.n_threads_batch = threads;
        parameters.flash_attn_type = if settings.flash_attention {
            sys::LLAMA_FLASH_ATTN_TYPE_AUTO
        } else {
            sys::LLAMA_FLASH_ATTN_TYPE_DISABLED
        };
        parameters.kv_unified = true;
        // A cache of the window's size would lose what a shorter common beginning needs.
        parameters.swa_full = true;
        parameters.no_perf = true;
        if exact {
            // Of two types, for which llama.cpp has only one path. It is fastest for these.
            (parameters.type_k, parameters.type_v) = (sys::GGML_TYPE_BF16, sys::GGML_TYPE_F16);
        } else if settings.quantized_kv {
            (parameters.type_k, parameters.type_v) = (sys::GGML_TYPE_Q8_0, sys::GGML_TYPE_Q8_0);
        }
        let mut context = Self::create(model, parameters)?;
        if exact {
            context.sequences = sequences;
            context.filler = Some(sequences);
        }
        Ok(context)
    }

    /// Creates what `parameters` describe.
    pub(super) fn create(
        model: Arc<Model>,
        parameters: sys::llama_context_params,
    ) -> Result<Self, ContextError> {
        let (handle, log) = log::with_errors(|| {
            // SAFETY: the model is live and is kept alive by the context; null results are handled.
            unsafe { sys::llama_init_from_model(model.handle.as_ptr(), parameters) }
        });
        let handle = NonNull::new(handle).ok_or(ContextError { log })?;
        // SAFETY: the handle is a live context.
        let (tokens, batch) =
            unsafe { (sys::llama_n_ctx(handle.as_ptr()), sys::llama_n_batch(handle.as_ptr())) };
        let (sequences, rows) = (parameters.n_seq_max, parameters.n_outputs_max);
        let (shares, window) = (model.attends(), model.window());
        let filler = None;
        Ok(Self {
            handle,
            pulse: None,
            model,
            tokens,
            sequences,
            filler,
            batch,
            rows,
            shares,
            window,
        })
    }

    /// Has `pulse` called after every node of the graph that a decode computes, on the thread that
    /// decodes.
    pub fn set_pulse(&mut self, pulse: Pulse) {
        let pulse = self.pulse.insert(Box::new(pulse));
        let data = std::ptr::from_mut::<Pulse>(pulse.as_mut()).cast();
        // SAFETY: the handle is live; `data` points into a box that lives until the handle is
        // freed or the next call of this function, as `&mut self` keeps any decode from running.
        unsafe { sys::llama_set_abort_callback(self.handle.as_ptr(), Some(beat), data) };
    }

    /// Computes with so many threads from now on.
    pub fn set_threads(&mut self, threads: u32) {
        let threads = i32::try_from(threads.max(1)).unwrap_or(i32::MAX);
        // SAFETY: the handle is live, and `&mut self` keeps any decode from running.
        unsafe { sys::llama_set_n_threads(self.handle.as_ptr(), threads, threads) };
    }

    /// KV cells, which llama.cpp may have rounded up.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// Most tokens in one batch.
    pub fn batch_max(&self) -> u32 {
        self.batch
    }

    /// Most rows of logits in one batch.
    pub fn rows_max(&self) -> u32 {
        self.rows
    }

    /// Sequences `0..sequences` can be used.
    pub fn sequences(&self) -> u32 {
        self.sequences
    }

    /// Whether sequences can share tokens and lose some at their end. If not, only whole sequences
    /// can be freed, and no decode may be aborted.
    pub fn shares(&self) -> bool {
        self.shares
    }

    /// Whether the context has a KV cache; without one there is nothing to generate from.
    pub fn has_memory(&self) -> bool {
        // SAFETY: the handle is live.
        !unsafe { sys::llama_get_memory(self.handle.as_ptr()) }.is_null()
    }

    /// Runs `batch` through the model.
    pub fn decode(&mut self, batch: &mut Batch) -> Result<(), DecodeError> {
        let length = batch.tokens.len();
        let known = 0..self.sequences.cast_signed();
        if length == 0
            || length > self.batch as usize
            || !batch.sequences.iter().all(|sequence| known.contains(sequence))
        {
            return Err(DecodeError::Invalid(length));
        }
        let mut counts = vec![1_i32; length];
        let mut sequences: Vec<*mut sys::llama_seq_id> =
            batch.sequences.iter_mut().map(std::ptr::from_mut).collect();
        let raw = sys::llama_batch {
            n_tokens: i32::try_from(length).map_err(|_| DecodeError::Invalid(length))?,
            token: batch.tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: batch.positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: sequences.as_mut_ptr(),
            logits: batch.outputs.as_mut_ptr(),
        };
        // SAFETY: the handle is live; every array has `n_tokens` entries and outlives the call;
        // length and sequences were checked above, tokens are checked by llama.cpp.
        let code = unsafe { sys::llama_decode(self.handle.as_ptr(), raw) };
        log::intend(false);
        match code {
            0 => Ok(()),
            1 => Err(DecodeError::NoRoom),
            2 => Err(DecodeError::Aborted),
            code => Err(DecodeError::Failed(code)),
        }
    }

    /// Logits of a row of the last batch that was pushed with `output`.
    pub fn logits(&self, row: usize) -> Option<&[f32]> {
        let row = i32::try_from(row).ok()?;
        // SAFETY: the handle is live; an unknown row gives null.
        let logits = unsafe { sys::llama_get_logits_ith(self.handle.as_ptr(), row) };
        let logits = NonNull::new(logits)?;
        // SAFETY: a row holds one logit a token of the vocabulary and stays unchanged until the
        // next decode, which needs `&mut self`.
        Some(unsafe { std::slice::from_raw_parts(logits.as_ptr(), self.model.size() as usize) })
    }

    /// Tokens of `sequence` that the cache holds.
    pub fn held(&self, sequence: u32) -> usize {
        self.range(sequence).map_or(0, |(_, last)| last + 1)
    }

    /// Shows tokens `start..length` of `from` to `to`, which holds those before. Whether `from`
    /// has all that tokens behind them need; if not, nothing is changed.
    pub fn share(&mut self, from: u32, to: u32, start: usize, length: usize) -> bool {
        // What the window has passed may be gone, but not what it shows from `length` on.
        // What lies between what `to` has and what it gets must not.
        let needed =
            if self.window == 0 || start > 0 { start } else { length.saturating_sub(self.window) };
        let all = self
            .range(from)
            .is_some_and(|(first, last)| (first == 0 || first <= needed) && length <= last + 1);
        if !self.shares || !all || from == to || !self.known(from) || !self.known(to) {
            return false;
        }
        // SAFETY: handle and its memory are live, both sequences are known.
        unsafe {
            let memory = sys::llama_get_memory(self.handle.as_ptr());
            let (start, end) = (position(start), position(length));
            sys::llama_memory_seq_cp(memory, from.cast_signed(), to.cast_signed(), start, end);
        }
        true
    }

    /// Frees all but the first `length` tokens of `sequence`.
    pub fn truncate(&mut self, sequence: u32, length: usize) {
        if !self.known(sequence) {
            return;
        }
        // SAFETY: handle and its memory are live, the sequence is known; -1 stands for its end.
        unsafe {
            let memory = sys::llama_get_memory(self.handle.as_ptr());
            sys::llama_memory_seq_rm(memory, sequence.cast_signed(), position(length), -1);
        }
    }

    /// First and last position of `sequence` in the cache, with all between.
    fn range(&self, sequence: u32) -> Option<(usize, usize)> {
        if !self.known(sequence) {
            return None;
        }
        // SAFETY: handle and its memory are live, the sequence is known.
        let (first, last) = unsafe {
            let memory = sys::llama_get_memory(self.handle.as_ptr());
            let sequence = sequence.cast_signed();
            (
                sys::llama_memory_seq_pos_min(memory, sequence),
                sys::llama_memory_seq_pos_max(memory, sequence),
            )
        };
        Some((usize::try_from(first).ok()?, usize::try_from(last).ok()?))
    }

    fn known(&self, sequence: u32) -> bool {
        sequence < self.sequences
    }

    /// Frees all cells of all sequences.
    pub fn clear(&mut self) {
        // SAFETY: handle and its memory are live.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.handle.as_ptr()), false) };
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

pub(super) fn position(tokens: usize) -> sys::llama_pos {
    sys::llama_pos::try_from(tokens).unwrap_or(sys::llama_pos::MAX)
}

/// llama.cpp asks whether to abort.
unsafe extern "C" fn beat(data: *mut c_void) -> bool {
    // SAFETY: `data` is what `set_pulse` gave, a live `Pulse` that only this thread uses.
    let pulse = unsafe { &*data.cast::<Pulse>() };
    let aborts = pulse();
    if aborts {
        log::intend(true);
    }
    aborts
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the handle came from llama.cpp; its model is dropped after it.
        unsafe { sys::llama_free(self.handle.as_ptr()) }
    }
}
