//! How long the ledger is, kept beside it, so that a cut at its end is noticed.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, chain};

const NAME: &str = "head.json";

/// The end of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How many records there are.
    pub records: u64,
    /// Hash of the last one.
    pub hash: String,
}

impl Head {
    /// Of a ledger without records.
    pub(crate) fn genesis() -> Self {
        Self { records: 0, hash: chain::genesis() }
    }

    /// What was last noted in `folder`; `None` when nothing readable is there.
    #[must_use]
    pub fn noted(folder: &Path) -> Option<Self> {
        serde_json::from_str(fs::read_to_string(folder.join(NAME)).ok()?.trim_end()).ok()
    }
}

/// The file of the head. It is written in place, as one short block, after the records are on disk: it
/// may lag behind them and is never ahead.
#[derive(Debug)]
pub(crate) struct HeadFile(File);

impl HeadFile {
    /// Waits until nobody else has it open.
    pub(crate) fn lock(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(NAME);
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).map_err(Error::at(&path))?;
        file.lock().map_err(Error::at(path))?;
        Ok(Self(file))
    }

    /// What cannot be noted is only missed when the ledger is checked.
    pub(crate) fn note(&self, head: &Head) {
        let text = format!("{{\"records\":{:>20},\"hash\":\"{}\"}}\n", head.records, head.hash);
        let _ = self.0.write_all_at(text.as_bytes(), 0);
    }
}
