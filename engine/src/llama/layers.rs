//! The layers of a model file and what they take, before the model is loaded.

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use super::text;

/// Most layers that are believed; llama.cpp takes no more than 512.
const LAYERS_MAX: u32 = 4096;

/// What parts of a model take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// Bytes of the weights of each layer, the first layer first.
    pub weights: Vec<u64>,
    /// Bytes of the weights behind the last layer.
    pub output: u64,
    /// Numbers that a token leaves in the KV cache of one layer, at most.
    pub cell: u64,
}

/// An opened file, of which only the header is in memory.
struct File(NonNull<sys::gguf_context>);

impl Layers {
    /// Reads the header of a GGUF file. `None` when it cannot be read or does not say enough.
    pub fn read(path: &Path) -> Option<Self> {
        let file = File::open(path)?;
        let architecture = file.string(c"general.architecture")?;
        let number = |key: &str| file.number(&CString::new(format!("{architecture}.{key}")).ok()?);
        let count = number("block_count").filter(|&count| (1..=LAYERS_MAX).contains(&count))?;
        let width = u64::from(number("embedding_length")?);
        let heads = number("attention.head_count").filter(|&heads| heads > 0);
        // Where layers differ the file has lists, and all heads are taken to keep something.
        let kept = number("attention.head_count_kv").or(heads);
        let cell = heads.zip(kept).map(|(heads, kept)| {
            let length = |key| number(key).map_or(width / u64::from(heads), u64::from);
            u64::from(kept) * (length("attention.key_length") + length("attention.value_length"))
        });
        let mut layers =
            Self { weights: vec![0; count as usize], output: 0, cell: cell.unwrap_or(2 * width) };
        let mut embedding = 0;
        let mut has_output = false;
        for (name, bytes) in file.tensors() {
            let layer = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next());
            match layer.and_then(|number| number.parse::<usize>().ok()) {
                Some(layer) => {
                    if let Some(weights) = layers.weights.get_mut(layer) {
                        *weights = weights.saturating_add(bytes);
                    }
                }
                None if name == "token_embd.weight" => embedding = bytes,
                None => {
                    has_output |= name == "output.weight";
                    layers.output = layers.output.saturating_add(bytes);
                }
            }
        }
        if !has_output {
            // The output has the weights of the input, and a copy of its own of them.
            layers.output = layers.output.saturating_add(embedding);
        }
        Some(layers)
    }
}

impl File {
    fn open(path: &Path) -> Option<Self> {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
        let parameters = sys::gguf_init_params { no_alloc: true, ctx: std::ptr::null_mut() };
        // SAFETY: the path is NUL-terminated and outlives the call; without `ctx` only the header is
        // read, and null results are handled.
        NonNull::new(unsafe { sys::gguf_init_from_file(path.as_ptr(), parameters) }).map(Self)
    }

    fn string(&self, key: &CStr) -> Option<String> {
        let index = self.find(key, sys::GGUF_TYPE_STRING)?;
        // SAFETY: the file is open, and the index is that of a string.
        Some(unsafe { text(sys::gguf_get_val_str(self.0.as_ptr(), index)) })
    }

    fn number(&self, key: &CStr) -> Option<u32> {
        let index = self.find(key, sys::GGUF_TYPE_UINT32)?;
        // SAFETY: the file is open, and the index is that of such a number.
        Some(unsafe { sys::gguf_get_val_u32(self.0.as_ptr(), index) })
    }

    fn find(&self, key: &CStr, kind: sys::gguf_type) -> Option<i64> {
        // SAFETY: the file is open; the type is asked of a key that was found.
        unsafe {
            let index = sys::gguf_find_key(self.0.as_ptr(), key.as_ptr());
            (index >= 0 && sys::gguf_get_kv_type(self.0.as_ptr(), index) == kind).then_some(index)
        }
    }

    /// Names and bytes of all tensors.
    fn tensors(&self) -> impl Iterator<Item = (String, u64)> {
        // SAFETY: the file is open.
        let count = unsafe { sys::gguf_get_n_tensors(self.0.as_ptr()) };
        (0..count).map(|index| {
            // SAFETY: the file is open, and the index is one of its tensors'.
            unsafe {
                let name = text(sys::gguf_get_tensor_name(self.0.as_ptr(), index));
                (name, sys::gguf_get_tensor_size(self.0.as_ptr(), index) as u64)
            }
        })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: it was opened, and nobody else closes it.
        unsafe { sys::gguf_free(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_layers_of_the_test_model_add_up_to_its_file() {
        let path = std::env::var_os("TANDEM_TEST_MODEL").expect("the model to test with");
        let layers = Layers::read(Path::new(&path)).unwrap();
        assert_eq!((layers.weights.len(), layers.cell), (30, 2 * 3 * 64));
        let all = layers.weights.iter().sum::<u64>() + layers.output;
        let file = std::fs::metadata(&path).unwrap().len();
        assert!(all < file && all > file * 9 / 10, "{all} of {file}");
    }

    #[test]
    fn what_is_no_model_has_no_layers() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"GGUF and nothing that makes sense").unwrap();
        assert_eq!(Layers::read(file.path()), None);
        assert_eq!(Layers::read(Path::new("/no/such/file")), None);
    }
}
