//! Keeping cells in order. llama.cpp puts tokens into the first free cells behind the last ones that
//! it filled, or before them after some were freed there; attention adds up a sequence's cells as
//! they lie, and rounds accordingly. So cells that are freed are given to a sequence of their own,
//! the filler, which makes llama.cpp go on behind all others, until there is no room there.

use std::ops::Range;

use llama_cpp_sys_2 as sys;

use super::Context;
use super::context::position;

impl Context {
    /// Whether cells are kept in order.
    pub fn in_order(&self) -> bool {
        self.filler.is_some()
    }

    /// Lets these tokens of `sequence`, which no other sees, keep their cells when they are freed.
    pub fn fill(&mut self, sequence: u32, tokens: Range<usize>) {
        let Some(filler) = self.filler.filter(|_| sequence < self.sequences) else { return };
        let (sequence, filler) = (sequence.cast_signed(), filler.cast_signed());
        let (start, end) = (position(tokens.start), position(tokens.end));
        // SAFETY: handle and its memory are live, both sequences are the context's.
        unsafe {
            let memory = sys::llama_get_memory(self.handle.as_ptr());
            sys::llama_memory_seq_cp(memory, sequence, filler, start, end);
        }
    }

    /// Moves all cells together in their order and frees the filled ones. `unshared` are all
    /// tokens that only one sequence sees. Whether there was memory for a copy of the cells in use;
    /// if not, nothing is changed.
    pub fn close_holes(&mut self, unshared: &[(u32, Range<usize>)]) -> bool {
        // SAFETY: the handle is live.
        let most = unsafe { sys::llama_state_get_size(self.handle.as_ptr()) };
        let mut state = Vec::new();
        if state.try_reserve_exact(most).is_err() {
            return false;
        }
        self.empty_filler();
        // SAFETY: the handle is live; the buffer has room for `most` bytes, and the state is smaller
        // without the filler. It is read back as it was written, by the same context.
        unsafe {
            let context = self.handle.as_ptr();
            let size = sys::llama_state_get_data(context, state.as_mut_ptr(), most);
            // Should this fail, the cache is empty, and the next decode says that tokens are missing.
            sys::llama_state_set_data(context, state.as_ptr(), size);
        }
        if self.window > 0 {
            self.pass_windows(unshared);
        }
        true
    }

    /// llama.cpp looks for free cells from the first on now, and would take those that a sliding
    /// window has passed and only one sequence sees. They get a second one while a token is placed
    /// behind them; from there on it looks further.
    fn pass_windows(&mut self, unshared: &[(u32, Range<usize>)]) {
        for (sequence, tokens) in unshared {
            self.fill(*sequence, tokens.clone());
        }
        let Some(mut filler) = self.filler.map(u32::cast_signed) else { return };
        let (mut token, mut output, mut count) = (0, 0, 1);
        let mut sequences = std::ptr::from_mut(&mut filler);
        // SAFETY: handle and its memory are live; every array has one entry and outlives the call.
        unsafe {
            let memory = sys::llama_get_memory(self.handle.as_ptr());
            let mut position = sys::llama_memory_seq_pos_max(memory, filler) + 1;
            let batch = sys::llama_batch {
                n_tokens: 1,
                token: &raw mut token,
                embd: std::ptr::null_mut(),
                pos: &raw mut position,
                n_seq_id: &raw mut count,
                seq_id: &raw mut sequences,
                logits: &raw mut output,
            };
            sys::llama_decode(self.handle.as_ptr(), batch);
        }
        self.empty_filler();
    }

    fn empty_filler(&mut self) {
        let Some(filler) = self.filler else { return };
        // SAFETY: handle and its memory are live, the sequence is the context's.
        unsafe {
            let memory = sys::llama_get_memory(self.handle.as_ptr());
            sys::llama_memory_seq_rm(memory, filler.cast_signed(), -1, -1);
        }
    }
}
