//! Reads `model.safetensors`: its header as a whole, its weights in pieces.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};

use super::float::Elements;
use super::{ImportError, Planned};

const FILE: &str = "model.safetensors";
/// A header of a real model has some hundred bytes a tensor.
const HEADER_BYTES_MAX: u64 = 16 << 20;
/// Elements that are converted at once.
const PIECE_ELEMENTS: usize = 1 << 18;

/// The weights of a model.
#[derive(Debug)]
pub(super) struct Tensors {
    file: File,
    by_name: HashMap<String, TensorInfo>,
    /// Where the weights begin.
    begin: u64,
}

impl Tensors {
    pub(super) fn open(folder: &Path) -> Result<Self, ImportError> {
        let path = folder.join(FILE);
        let unreadable = |problem| ImportError::Unreadable { path: path.clone(), problem };
        let damaged = |problem: String| ImportError::damaged(FILE, problem);
        // Looked at first, since opening a pipe would wait for a writer.
        if !std::fs::metadata(&path).map_err(unreadable)?.is_file() {
            return Err(damaged("it is not a file".to_owned()));
        }
        let mut file = File::open(&path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(unreadable)?;
        let length = u64::from_le_bytes(length);
        if length > HEADER_BYTES_MAX.min(size) {
            return Err(damaged(format!("its header claims {length} bytes")));
        }
        let mut header = Vec::new();
        file.by_ref().take(length).read_to_end(&mut header).map_err(unreadable)?;
        // Checks offsets and lengths, too.
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| damaged(error.to_string()))?;
        let begin = 8 + length;
        if begin + header.data_len() as u64 != size {
            return Err(damaged("it is not as long as its header says".to_owned()));
        }
        let by_name =
            header.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        Ok(Self { file, by_name, begin })
    }

    /// Dimensions of a tensor, the slowest first, whatever prefix its makers gave its name.
    pub(super) fn find(&self, name: &str) -> Option<(String, &[usize])> {
        let names = [name.to_owned(), format!("bert.{name}")];
        names.into_iter().find_map(|name| {
            let info = self.by_name.get(&name)?;
            Some((name, info.shape.as_slice()))
        })
    }

    /// Whether the elements of a tensor are numbers that can be converted.
    pub(super) fn is_convertible(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|info| Elements::of(info.dtype).is_some())
    }

    /// Hands out a tensor, converted, piece by piece.
    pub(super) fn read(
        &mut self,
        tensor: &Planned,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let missing = || ImportError::damaged(FILE, format!("{} is missing", tensor.source));
        let info = self.by_name.get(&tensor.source).ok_or_else(missing)?;
        let elements = Elements::of(info.dtype).ok_or_else(missing)?;
        let (from, to) = info.data_offsets;
        let failed = |error: std::io::Error| ImportError::damaged(FILE, error.to_string());
        self.file.seek(SeekFrom::Start(self.begin + from as u64)).map_err(failed)?;
        let mut left = to - from;
        let mut piece = Vec::new();
        while left > 0 {
            piece.resize(left.min(PIECE_ELEMENTS * elements.bytes()), 0);
            self.file.read_exact(&mut piece).map_err(failed)?;
            left -= piece.len();
            let converted = elements.convert(&piece, tensor.kind).map_err(|number| {
                let problem = format!("{} has the element {number}", tensor.source);
                ImportError::damaged(FILE, problem)
            })?;
            sink(&converted)?;
        }
        Ok(())
    }
}
