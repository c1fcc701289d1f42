//! The reader of GGUF headers takes any bytes and neither panics nor believes them.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use tandem_models::gguf::{self, Hosting};

fuzz_target!(|bytes: &[u8]| {
    let size = bytes.len() as u64;
    if let Ok(header) = gguf::read_from(Cursor::new(bytes), size) {
        assert_eq!(header.size_bytes, size);
        assert!(header.tensor_bytes <= size);
        // What an absurd header needs is absurd, and no overflow.
        let hosting = Hosting {
            context_tokens: u32::MAX,
            batch_tokens: u32::MAX,
            sequences_max: u32::MAX,
            quantized_kv: true,
        };
        let _ = gguf::memory_estimate(&header, hosting).total();
    }
});
