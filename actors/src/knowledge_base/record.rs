//! Small files of JSON in the folder of a collection.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is in the file, if there is one.
pub(super) fn read<T: DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&text).map(Some).map_err(io::Error::other)
}

/// As it is on disk.
pub(super) fn text(record: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec_pretty(record).map_err(io::Error::other)
}

/// Puts it on disk, whole or not at all, in a folder that exists.
pub(super) fn write(dir: &Path, name: &str, record: &impl Serialize) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(&text(record)?)?;
    file.sync_all()?;
    fs::rename(new, dir.join(name))?;
    File::open(dir)?.sync_all()
}
