//! llama.cpp's own samplers, to compare ours with.

use llama_cpp_sys_2 as sys;

use crate::sampling::Settings;

/// A chain of samplers.
pub struct Chain(*mut sys::llama_sampler);

impl Chain {
    /// The steps that `settings` ask for, in llama.cpp's usual order, for a vocabulary of `size`
    /// tokens that has seen `history`.
    pub fn new(settings: &Settings, size: usize, history: &[u32]) -> Self {
        let biases: Vec<sys::llama_logit_bias> = settings
            .logit_bias
            .iter()
            .map(|&(token, bias)| sys::llama_logit_bias { token: token.cast_signed(), bias })
            .collect();
        let (size, count) = (int(size), int(biases.len()));
        // SAFETY: the biases outlive the calls, which copy them; the chain owns what is added to
        // it; tokens are below `size`.
        unsafe {
            let chain = sys::llama_sampler_chain_init(sys::llama_sampler_chain_default_params());
            let steps = [
                sys::llama_sampler_init_logit_bias(size, count, biases.as_ptr()),
                sys::llama_sampler_init_penalties(
                    size,
                    int(settings.repeat_last_n),
                    settings.repeat_penalty,
                    settings.frequency_penalty,
                    settings.presence_penalty,
                ),
                sys::llama_sampler_init_top_k(int(settings.top_k)),
                sys::llama_sampler_init_typical(settings.typical_p, 1),
                sys::llama_sampler_init_top_p(settings.top_p, 1),
                sys::llama_sampler_init_min_p(settings.min_p, 1),
                sys::llama_sampler_init_temp(settings.temperature),
            ];
            for step in steps {
                sys::llama_sampler_chain_add(chain, step);
            }
            for &token in history {
                sys::llama_sampler_accept(chain, token.cast_signed());
            }
            Self(chain)
        }
    }

    /// Mirostat 2 as llama.cpp has it, drawing with `seed`.
    pub fn mirostat(temperature: f32, tau: f32, eta: f32, seed: u32) -> Self {
        // SAFETY: the chain owns what is added to it.
        unsafe {
            let chain = sys::llama_sampler_chain_init(sys::llama_sampler_chain_default_params());
            sys::llama_sampler_chain_add(chain, sys::llama_sampler_init_temp(temperature));
            let mirostat = sys::llama_sampler_init_mirostat_v2(seed, tau, eta);
            sys::llama_sampler_chain_add(chain, mirostat);
            Self(chain)
        }
    }

    /// What the chain leaves of a row: tokens and logits divided by the temperature; and which of
    /// them it drew, if it draws.
    pub fn apply(&mut self, row: &[f32]) -> (Vec<(u32, f32)>, Option<usize>) {
        let mut data: Vec<sys::llama_token_data> = (0..)
            .zip(row)
            .map(|(id, &logit)| sys::llama_token_data { id, logit, p: 0.0 })
            .collect();
        let mut array = sys::llama_token_data_array {
            data: data.as_mut_ptr(),
            size: data.len(),
            selected: -1,
            sorted: false,
        };
        // SAFETY: chain and array are live; the samplers keep the array within its first size.
        unsafe { sys::llama_sampler_apply(self.0, &raw mut array) };
        assert!(std::ptr::eq(array.data, data.as_ptr()) && array.size <= data.len());
        data.truncate(array.size);
        let left = data.iter().map(|entry| (entry.id.cast_unsigned(), entry.logit)).collect();
        (left, usize::try_from(array.selected).ok())
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // SAFETY: the chain came from llama.cpp and is freed once, with all that was added to it.
        unsafe { sys::llama_sampler_free(self.0) };
    }
}

fn int(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
