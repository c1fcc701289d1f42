//! A loaded model: weights, vocabulary and metadata, all read-only.

use std::ffi::CString;
use std::os::raw::{c_char, c_void};
use std::path::Path;
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use super::text;
use crate::wordpiece::WordPiece;

/// Longest metadata value read, in bytes.
const METADATA_BYTES_MAX: usize = 256;

/// Why a model could not be loaded. llama.cpp's log says more.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The path cannot be given to C.
    #[error("the model's path contains a NUL byte; rename the file")]
    Path,
    /// llama.cpp refused the file.
    #[error("llama.cpp cannot load the model")]
    Refused,
}

/// How to load a [`Model`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelSettings {
    /// Repack weights, for the matrix kernels that need that.
    pub use_extra_bufts: bool,
    /// Layers that graphics processors compute, the output counting as one more. 0: none, and no
    /// graphics processor is used.
    pub gpu_layers: u32,
}

/// A model in memory. Shared between threads.
#[derive(Debug)]
pub struct Model {
    pub(super) handle: NonNull<sys::llama_model>,
    pub(super) vocabulary: NonNull<sys::llama_vocab>,
    /// In place of llama.cpp's own tokenizer for BERT.
    pub(super) wordpiece: Option<WordPiece>,
}

// SAFETY: after loading, the functions used here only read the model and its vocabulary, and
// llama.h declares tokenization thread-safe.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// Loads a GGUF file, calling `progress` with a fraction from 0 to 1.
    pub fn load(
        path: &Path,
        settings: ModelSettings,
        mut progress: impl FnMut(f32),
    ) -> Result<Self, LoadError> {
        let path = path.as_os_str().as_encoded_bytes();
        let path = CString::new(path).map_err(|_| LoadError::Path)?;
        let mut progress: &mut dyn FnMut(f32) = &mut progress;
        // SAFETY: returns a plain structure.
        let mut parameters = unsafe { sys::llama_model_default_params() };
        parameters.use_extra_bufts = settings.use_extra_bufts;
        parameters.n_gpu_layers = i32::try_from(settings.gpu_layers).unwrap_or(i32::MAX);
        let mut no_devices = [std::ptr::null_mut()];
        if settings.gpu_layers == 0 {
            // Without this, large prompts would still go through a graphics processor.
            parameters.devices = no_devices.as_mut_ptr();
        }
        parameters.load_mode = sys::LLAMA_LOAD_MODE_MMAP;
        parameters.progress_callback = Some(on_progress);
        parameters.progress_callback_user_data = (&raw mut progress).cast();
        // SAFETY: path, devices and callback data outlive the call, the only one that uses them; the
        // list of devices ends with null.
        let model = unsafe { sys::llama_model_load_from_file(path.as_ptr(), parameters) };
        let handle = NonNull::new(model).ok_or(LoadError::Refused)?;
        // SAFETY: the handle is a loaded model; its vocabulary lives as long as it does.
        let vocabulary = unsafe { sys::llama_model_get_vocab(handle.as_ptr()) };
        let vocabulary = NonNull::new(vocabulary.cast_mut()).ok_or(LoadError::Refused)?;
        let mut model = Self { handle, vocabulary, wordpiece: None };
        model.wordpiece = model.read_wordpiece();
        Ok(model)
    }

    /// The architecture's name, such as `llama`.
    pub fn architecture(&self) -> String {
        self.metadata(c"general.architecture")
    }

    /// One line for people: architecture, size, quantization.
    pub fn description(&self) -> String {
        // SAFETY: the handle is live; the call writes at most `length` bytes.
        read_text(|buffer, length| unsafe {
            sys::llama_model_desc(self.handle.as_ptr(), buffer, length)
        })
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        // SAFETY: the handle is live.
        unsafe { sys::llama_model_n_params(self.handle.as_ptr()) }
    }

    /// Bytes of all tensors.
    pub fn size_bytes(&self) -> u64 {
        // SAFETY: the handle is live.
        unsafe { sys::llama_model_size(self.handle.as_ptr()) }
    }

    /// Layers, the output not counted.
    pub fn layers(&self) -> u32 {
        // SAFETY: the handle is live.
        let layers = unsafe { sys::llama_model_n_layer(self.handle.as_ptr()) };
        u32::try_from(layers).unwrap_or(0)
    }

    /// Tokens of context that the model was trained with; 0 when the file does not say.
    pub fn context_trained(&self) -> u32 {
        // SAFETY: the handle is live.
        let tokens = unsafe { sys::llama_model_n_ctx_train(self.handle.as_ptr()) };
        u32::try_from(tokens).unwrap_or(0)
    }

    /// Whether the model writes text one token after the other. Encoders do not.
    pub fn generates(&self) -> bool {
        // SAFETY: the handle is live.
        unsafe {
            let model = self.handle.as_ptr();
            sys::llama_model_has_decoder(model)
                && !sys::llama_model_has_encoder(model)
                && !sys::llama_model_is_diffusion(model)
        }
    }

    /// Whether the model remembers each token by itself, so that sequences can share and lose some.
    /// Recurrent models have one state that all tokens went into.
    pub fn attends(&self) -> bool {
        // SAFETY: the handle is live.
        unsafe {
            let model = self.handle.as_ptr();
            !sys::llama_model_is_recurrent(model) && !sys::llama_model_is_hybrid(model)
        }
    }

    /// Tokens that layers with a sliding window look back on; 0 when there are none.
    pub fn window(&self) -> usize {
        // SAFETY: the handle is live.
        let tokens = unsafe { sys::llama_model_n_swa(self.handle.as_ptr()) };
        usize::try_from(tokens).unwrap_or(0)
    }

    /// The Jinja chat template of the file.
    pub fn chat_template(&self) -> Option<String> {
        // SAFETY: the handle is live; the result is null or a NUL-terminated string in the model.
        let template =
            unsafe { text(sys::llama_model_chat_template(self.handle.as_ptr(), std::ptr::null())) };
        Some(template).filter(|template| !template.is_empty())
    }

    pub(super) fn metadata(&self, key: &std::ffi::CStr) -> String {
        // SAFETY: handle and key are live; the call writes at most `length` bytes.
        read_text(|buffer, length| unsafe {
            sys::llama_model_meta_val_str(self.handle.as_ptr(), key.as_ptr(), buffer, length)
        })
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the handle came from llama.cpp, and contexts keep the model alive.
        unsafe { sys::llama_model_free(self.handle.as_ptr()) }
    }
}

/// Calls a C function that writes a string into a buffer and returns its length or -1.
fn read_text(read: impl FnOnce(*mut c_char, usize) -> i32) -> String {
    let mut buffer = [0_u8; METADATA_BYTES_MAX];
    let length = read(buffer.as_mut_ptr().cast(), buffer.len());
    // The length can be that of a string which did not fit; one byte is the NUL.
    let length = usize::try_from(length).unwrap_or(0).min(buffer.len() - 1);
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

unsafe extern "C" fn on_progress(fraction: f32, data: *mut c_void) -> bool {
    // SAFETY: `data` is the `&mut dyn FnMut` that `load` keeps alive, and llama.cpp calls back
    // on the loading thread only.
    let progress = unsafe { &mut *data.cast::<&mut dyn FnMut(f32)>() };
    progress(fraction);
    true
}
