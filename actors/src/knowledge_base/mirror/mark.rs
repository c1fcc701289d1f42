//! What is known of a copy, in `chroma.json` in the folder of its collection. It is written when the
//! server has acknowledged, so it may be behind and is never ahead.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::chroma::Place;
use super::super::record;
use super::held::Held;

pub(super) const FILE: &str = "chroma.json";

/// A copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Where it is.
    pub(super) place: Place,
    /// Its name there, which no other collection of any daemon has.
    pub(super) name: String,
    /// The id that the server gave it, empty before. One that is made anew gets another.
    pub(super) id: String,
    /// The chunks that it has.
    pub(super) held: Held,
}

impl Mark {
    /// A copy that is to be made.
    pub(super) fn new(place: Place) -> Self {
        let name = format!("tandem-{}", Uuid::new_v4().simple());
        Self { place, name, id: String::new(), held: Held::default() }
    }

    /// The mark of the collection in `dir`, if there is one.
    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        record::read(&dir.join(FILE))
    }

    /// Puts it on disk, whole or not at all.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        record::write(dir, FILE, self)
    }
}
