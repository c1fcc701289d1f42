//! Vectors on disk and in memory, and the search for those that are nearest to a query.
//!
//! A row is written once and never changed. Two files have a record for each: one the vector itself, one
//! its code (`code.rs`). Codes are kept in memory, vectors are read where a score has to be exact
//! (`nearest.rs`). There is no graph, so nothing is built or tuned, rows are searched as soon as they are
//! there, and the same query always finds the same.

mod best;
mod block;
mod code;
mod mask;
mod nearest;
mod records;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::block::{Block, ROWS};
use self::code::{Code, Rotation};
use self::records::Records;
use crate::Result;
use crate::error::at;

pub(crate) use self::code::{dot, unit};
pub(crate) use self::mask::Mask;

/// Bytes of a chunk's number in a record.
const ID: usize = size_of::<u64>();

/// Vectors that are added to.
#[derive(Debug)]
pub(crate) struct Vectors {
    directory: PathBuf,
    codes: Records,
    committed: View,
    staged: View,
}

/// Vectors as they were at a commit; a cheap copy.
#[derive(Debug, Clone)]
pub(crate) struct View {
    dimensions: usize,
    rotation: Arc<Rotation>,
    blocks: Vec<Arc<Block>>,
    rows: usize,
    exact: Arc<Records>,
}

/// What a commit has to know of the vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The files in use: with each rewriting the next.
    pub(crate) generation: u64,
    /// Rows that count.
    pub(crate) rows: usize,
}

impl Vectors {
    /// Opens the files of that extent, or creates those of an empty one, and removes other generations.
    pub(crate) fn open(directory: &Path, dimensions: usize, extent: Extent) -> Result<Self> {
        let (exact, codes) = files(directory, dimensions, extent)?;
        let mut view = View {
            dimensions,
            rotation: Arc::new(Rotation::new(dimensions)),
            blocks: Vec::new(),
            rows: 0,
            exact: Arc::new(exact),
        };
        codes.each(extent.rows, |record, sound| view.restore(record, sound))?;
        remove_others(directory, extent.generation)?;
        let directory = directory.to_path_buf();
        Ok(Self { directory, codes, committed: view.clone(), staged: view })
    }

    /// Adds rows for chunks with the numbers from `first` on. The vectors have length 1.
    pub(crate) fn append(&mut self, first: u64, vectors: &[Vec<f32>]) -> Result<()> {
        let (mut exact, mut codes) = (Vec::new(), Vec::new());
        let row = self.staged.rows;
        let added: Vec<(u64, Code)> = (first..)
            .zip(vectors)
            .map(|(id, vector)| (id, Code::of(&self.staged.rotation.turn(vector))))
            .collect();
        for ((id, code), vector) in added.iter().zip(vectors) {
            exact.extend(id.to_le_bytes());
            exact.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
            codes.extend(id.to_le_bytes());
            code.write(&mut codes);
        }
        self.staged.exact.write(row, &exact)?;
        self.codes.write(row, &codes)?;
        for (id, code) in &added {
            self.staged.push(*id, code);
        }
        Ok(())
    }

    /// Returns when all rows are on disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.staged.exact.sync()?;
        self.codes.sync()
    }

    /// From now on, the rows added so far count.
    pub(crate) fn commit(&mut self) {
        self.committed = self.staged.clone();
    }

    /// Forgets the rows that were added since the last commit.
    pub(crate) fn roll_back(&mut self) -> Result<()> {
        self.staged = self.committed.clone();
        self.staged.exact.cut(self.staged.rows)?;
        self.codes.cut(self.staged.rows)
    }

    /// Writes the rows of the mask to the files of another generation, and returns when they are on disk.
    /// Those in use stay until that one is opened.
    pub(crate) fn rewrite(&self, generation: u64, keep: &Mask) -> Result<Self> {
        let empty = Extent { generation, rows: 0 };
        let (exact, codes) = files(&self.directory, self.committed.dimensions, empty)?;
        let view =
            View { blocks: Vec::new(), rows: 0, exact: Arc::new(exact), ..self.committed.clone() };
        let mut vectors = Self {
            directory: self.directory.clone(),
            codes,
            committed: view.clone(),
            staged: view,
        };
        for row in (0..self.committed.rows).filter(|row| keep.has(*row)) {
            // A vector that is damaged is left behind; its chunk is found by its words.
            if let Some(vector) = self.committed.exact(row) {
                vectors.append(self.committed.id(row), &[vector])?;
            }
        }
        vectors.sync()?;
        vectors.commit();
        Ok(vectors)
    }

    /// Removes the files of all generations but this one.
    pub(crate) fn remove_others(&self, generation: u64) -> Result<()> {
        remove_others(&self.directory, generation)
    }

    /// What was committed.
    pub(crate) const fn view(&self) -> &View {
        &self.committed
    }

    /// The files, and how many bytes of each were committed.
    pub(crate) fn files(&self) -> [(&Path, u64); 2] {
        let rows = self.committed.rows;
        [&*self.committed.exact, &self.codes].map(|records| (records.path(), records.offset(rows)))
    }

    /// Rows, those that were not committed yet included.
    pub(crate) const fn rows(&self) -> usize {
        self.staged.rows
    }

    /// Reads all rows and hands over the file and the number of each that is damaged.
    pub(crate) fn check(&self, mut damaged: impl FnMut(&Path, usize)) -> Result<()> {
        for records in [&*self.committed.exact, &self.codes] {
            let mut row = 0;
            records.each(self.committed.rows, |_, sound| {
                if !sound {
                    damaged(records.path(), row);
                }
                row += 1;
            })?;
        }
        Ok(())
    }
}

impl View {
    /// How many rows there are.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// The number of a row's chunk; 0 for a row that is not there.
    pub(crate) fn id(&self, row: usize) -> u64 {
        self.blocks.get(row / ROWS).and_then(|block| block.ids.get(row % ROWS)).map_or(0, |id| *id)
    }

    /// The row of a chunk.
    pub(crate) fn row(&self, id: u64) -> Option<usize> {
        let block =
            self.blocks.partition_point(|block| block.ids.last().is_some_and(|last| *last < id));
        let ids = &self.blocks.get(block)?.ids;
        let row = ids.partition_point(|other| *other < id);
        (ids.get(row) == Some(&id)).then_some(block * ROWS + row)
    }

    /// How many rows there are of chunks with numbers up to this. They are the first.
    pub(crate) fn rows_up_to(&self, id: u64) -> usize {
        let before = |ids: &[u64]| ids.partition_point(|other| *other <= id);
        let full =
            self.blocks.partition_point(|block| block.ids.last().is_some_and(|last| *last <= id));
        full * ROWS + self.blocks.get(full).map_or(0, |block| before(&block.ids))
    }

    /// The vector of a row; `None` when it cannot be read or is damaged.
    pub(crate) fn exact(&self, row: usize) -> Option<Vec<f32>> {
        if row >= self.rows {
            return None;
        }
        match self.exact.read(row) {
            Ok(Some(record)) => Some(values(&record[ID..])),
            Ok(None) => {
                tracing::warn!(row, file = %self.exact.path().display(), "a vector is damaged");
                None
            }
            Err(error) => {
                tracing::warn!(row, file = %self.exact.path().display(), %error, "a vector cannot be read");
                None
            }
        }
    }

    fn push(&mut self, id: u64, code: &Code) {
        if self.rows.is_multiple_of(ROWS) {
            self.blocks.push(Arc::default());
        }
        if let Some(block) = self.blocks.last_mut() {
            Arc::make_mut(block).push(id, code);
            self.rows += 1;
        }
    }

    /// Adds a row from disk. One that is damaged is made again from its vector; when that is damaged too,
    /// the row stays empty under the number before it, by which nobody looks for it.
    fn restore(&mut self, record: &[u8], sound: bool) {
        let row = self.rows;
        let stored = || {
            let (id, code) = record.split_first_chunk::<ID>()?;
            Some((u64::from_le_bytes(*id), Code::read(code, self.dimensions)?))
        };
        let again = || {
            let record = self.exact.read(row).ok()??;
            let (id, vector) = record.split_first_chunk::<ID>()?;
            Some((u64::from_le_bytes(*id), Code::of(&self.rotation.turn(&values(vector)))))
        };
        let (id, code) = if sound { stored() } else { again() }.unwrap_or_else(|| {
            let nothing = vec![0.0; self.dimensions];
            (self.id(row.saturating_sub(1)), Code { factor: 0.0, scale: 0.0, ..Code::of(&nothing) })
        });
        self.push(id, &code);
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        (self.rows * Block::row_bytes(self.dimensions)) as u64
    }
}

fn values(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

fn files(directory: &Path, dimensions: usize, extent: Extent) -> Result<(Records, Records)> {
    let path = |kind| directory.join(format!("{}{kind}", prefix(extent.generation)));
    let exact = Records::open(path("exact"), ID + dimensions * 4, extent.rows)?;
    let codes = Records::open(path("codes"), ID + Code::bytes(dimensions), extent.rows)?;
    sync_directory(directory)?;
    Ok((exact, codes))
}

/// What the names of its files begin with.
pub(crate) const NAME: &str = "vectors-";

fn prefix(generation: u64) -> String {
    format!("{NAME}{generation}.")
}

fn remove_others(directory: &Path, generation: u64) -> Result<()> {
    for entry in directory.read_dir().map_err(at(directory))? {
        let path = entry.map_err(at(directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(NAME) && !name.starts_with(&prefix(generation)) {
            std::fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Returns when the names in a directory are on disk.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    std::fs::File::open(directory).and_then(|file| file.sync_all()).map_err(at(directory))
}

#[cfg(test)]
pub(crate) mod tests;
