//! One model in several quantizations.

use serde::Deserialize;

use super::Entry;
use crate::Source;

/// Another file of the model of an entry. Its id is that of the entry, a colon and the
/// quantization in small letters: `smollm2-135m-instruct:q8_0`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Variant {
    /// As llama.cpp names the file type.
    pub quantization: String,
    /// Name of the file in the models directory.
    pub file: String,
    /// Where the file can be had, best first.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Of the file, hexadecimal; empty when it is not known.
    #[serde(default)]
    pub sha256: String,
    /// Of the file; 0 when it is not known.
    #[serde(default)]
    pub size_bytes: u64,
    /// Memory below which a machine should not try; 0 when it is not known.
    #[serde(default)]
    pub memory_min_bytes: u64,
}

impl Entry {
    /// The entry, and one for each of its variants.
    pub(super) fn with_variants(self) -> Vec<Self> {
        let variants: Vec<_> = self.variants.iter().map(|variant| self.varied(variant)).collect();
        std::iter::once(self).chain(variants).collect()
    }

    /// Ids of the variants.
    #[must_use]
    pub fn variant_ids(&self) -> Vec<String> {
        self.variants.iter().map(|variant| self.variant_id(variant)).collect()
    }

    fn variant_id(&self, variant: &Variant) -> String {
        format!("{}:{}", self.id, variant.quantization.to_lowercase())
    }

    fn varied(&self, variant: &Variant) -> Self {
        let Variant { quantization, file, sources, sha256, size_bytes, memory_min_bytes } =
            variant.clone();
        Self {
            id: self.variant_id(variant),
            name: format!("{} {quantization}", self.name),
            variants: Vec::new(),
            variant_of: Some(self.id.clone()),
            // It was fitted to the answers of the other file.
            confidence: None,
            quantization,
            file,
            sources,
            sha256,
            size_bytes,
            memory_min_bytes,
            ..self.clone()
        }
    }
}
