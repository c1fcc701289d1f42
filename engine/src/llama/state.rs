//! The state of one sequence as bytes: what the model computed for its tokens, to be put back
//! later, or in another process, instead of being computed again.

use llama_cpp_sys_2 as sys;

use super::{Context, log};

/// All of a sequence, copied into our memory.
const WHOLE: sys::llama_state_seq_flags = 0;

/// Why a sequence was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The context has no such sequence.
    #[error("sequence {0} is not one of the context's; this is a bug")]
    UnknownSequence(u32),
    /// There is nothing to save.
    #[error("sequence {0} holds no tokens; decode some before saving it")]
    Empty(u32),
    /// The copy does not fit in memory.
    #[error("{0} bytes of state do not fit in memory; allow fewer for prefixes")]
    NoMemory(usize),
    /// llama.cpp wrote less than it had announced.
    #[error("llama.cpp cannot save the sequence; its log says why")]
    Refused,
}

/// Why a sequence was not restored. It is empty now.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The context has no such sequence.
    #[error("sequence {0} is not one of the context's; this is a bug")]
    UnknownSequence(u32),
    /// Other sequences hold too many cells. The same state can be restored later.
    #[error("the KV cache has no room for the state; free other sequences first")]
    NoRoom,
    /// The state is cut, damaged or comes from another kind of context.
    #[error("the state does not belong to this context; compute the prompt instead")]
    Refused,
    /// The state has other tokens than it should have, so what follows would be misplaced.
    #[error("the state ends with token {found}, not {expected}; compute the prompt instead")]
    WrongLength {
        /// Tokens that it should have.
        expected: u32,
        /// Tokens that it has.
        found: u32,
    },
}

impl Context {
    /// Bytes that [`Context::save_sequence`] returns; 0 for a sequence without tokens.
    pub fn saved_bytes(&self, sequence: u32) -> usize {
        if self.held(sequence) == 0 {
            return 0;
        }
        // SAFETY: the handle is live and has the sequence; only counts.
        unsafe {
            sys::llama_state_seq_get_size_ext(self.handle.as_ptr(), sequence.cast_signed(), WHOLE)
        }
    }

    /// Copies the state of a sequence, which stays as it is.
    pub fn save_sequence(&mut self, sequence: u32) -> Result<Vec<u8>, SaveError> {
        if sequence >= self.sequences {
            return Err(SaveError::UnknownSequence(sequence));
        }
        let size = self.saved_bytes(sequence);
        if size == 0 {
            return Err(SaveError::Empty(sequence));
        }
        let mut state = Vec::new();
        state.try_reserve_exact(size).map_err(|_| SaveError::NoMemory(size))?;
        // SAFETY: the handle is live and has the sequence; the buffer has room for `size` bytes.
        let written = unsafe {
            sys::llama_state_seq_get_data_ext(
                self.handle.as_ptr(),
                state.as_mut_ptr(),
                size,
                sequence.cast_signed(),
                WHOLE,
            )
        };
        if written != size {
            return Err(SaveError::Refused);
        }
        // SAFETY: the call above has written `size` bytes, for which there is capacity.
        unsafe { state.set_len(size) };
        Ok(state)
    }

    /// Replaces what a sequence holds by a saved state of `tokens` tokens, which may come from
    /// another sequence. After an error the sequence is empty.
    ///
    /// llama.cpp checks lengths and formats but believes positions and numbers: `state` must be
    /// what [`Context::save_sequence`] returned in this build, with this model and these settings.
    pub fn restore_sequence(
        &mut self,
        sequence: u32,
        tokens: u32,
        state: &[u8],
    ) -> Result<(), RestoreError> {
        if sequence >= self.sequences {
            return Err(RestoreError::UnknownSequence(sequence));
        }
        // llama.cpp leaves the old cells in place where the state has none.
        self.truncate(sequence, 0);
        let result = self.read_state(sequence, tokens, state);
        if result.is_err() {
            // A model with two caches keeps what it read into the first when the second fails.
            self.truncate(sequence, 0);
        }
        result
    }

    fn read_state(&mut self, sequence: u32, tokens: u32, state: &[u8]) -> Result<(), RestoreError> {
        let (read, errors) = log::with_errors(|| {
            // SAFETY: the handle is live and has the sequence; `state` is readable for its length,
            // beyond which llama.cpp does not read. Its exceptions do not leave the call.
            unsafe {
                sys::llama_state_seq_set_data_ext(
                    self.handle.as_ptr(),
                    state.as_ptr(),
                    state.len(),
                    sequence.cast_signed(),
                    WHOLE,
                )
            }
        });
        if read == 0 && lacked_room(&errors) {
            return Err(RestoreError::NoRoom);
        }
        if read != state.len() || state.is_empty() {
            return Err(RestoreError::Refused);
        }
        match u32::try_from(self.held(sequence)).unwrap_or(u32::MAX) {
            found if found == tokens => Ok(()),
            found => Err(RestoreError::WrongLength { expected: tokens, found }),
        }
    }
}

/// Whether llama.cpp failed to restore for want of cells. It returns the same for every failure;
/// only what it logs tells them apart.
fn lacked_room(errors: &str) -> bool {
    errors.contains("available cells") || errors.contains("enough cells")
}

#[cfg(test)]
mod tests;
