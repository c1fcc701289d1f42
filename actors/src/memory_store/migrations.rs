//! From the layout of an older tandem to that of this one, a version at a time. Each step leads from a
//! version to the next and is one batch with the new version in it: after a crash it was made, or was
//! not.

use tracing::info;

use super::changes::Changes;
use super::database::{Database, unreadable};
use super::opening::{Opened, Problem};
use super::{codec, key};
use crate::Result;

/// Version of the layout of [`key`]. Raised when an older tandem could not go on with the store.
pub(super) const SCHEMA_VERSION: u32 = 2;

type Migration = fn(&Database, &mut Changes) -> Result<()>;

/// At each place what leads from that version on; there was no version 0.
const MIGRATIONS: [Migration; SCHEMA_VERSION as usize - 1] = [from_1];

/// Writes version and identity into a new store, migrates one of an older tandem, and refuses one that
/// a later tandem has written.
pub(super) fn bring_up_to_date(database: &mut Database) -> Opened<()> {
    let value = database.sled.get(key::SCHEMA)?;
    let found: u32 = match &value {
        None => SCHEMA_VERSION,
        Some(value) => codec::decode(value)
            .map_err(|damage| Problem::Failed(format!("the record of its layout {damage}")))?,
    };
    if found > SCHEMA_VERSION {
        return Err(Problem::Newer { found });
    }
    if value.is_none() || !database.sled.contains_key(key::IDENTITY)? {
        let mut changes = Changes::default();
        changes.insert(key::SCHEMA, codec::encode(&found));
        changes.insert(key::IDENTITY, codec::encode(&database.new_id().as_bytes().to_vec()));
        database.apply(changes)?;
    }
    let steps = MIGRATIONS.iter().zip(1..).skip(found.saturating_sub(1) as usize);
    for (migrate, version) in steps {
        info!(version, "the store is brought to the next layout");
        let mut changes = Changes::default();
        migrate(database, &mut changes)?;
        changes.insert(key::SCHEMA, codec::encode(&(version + 1)));
        database.apply(changes)?;
        database.sync()?;
    }
    Ok(())
}

/// Layout 1 kept no journal, and what a conversation cost could outlive it.
fn from_1(database: &Database, changes: &mut Changes) -> Result<()> {
    for usage in database.sled.scan_prefix(key::CONVERSATION_USAGE).keys() {
        let usage = usage.map_err(unreadable)?;
        let id = key::read_conversation_usage(&usage).map(|(id, _)| key::conversation(id));
        let kept = id.map(|id| database.sled.contains_key(id)).transpose().map_err(unreadable)?;
        if kept == Some(false) {
            changes.remove(usage);
        }
    }
    Ok(())
}
