//! Reads every record and says what is broken, and what to do about it. What belongs together is
//! written together, so it fits together whenever the thread looks.

use std::borrow::Cow;
use std::ops::Bound;

use prost::Message;
use sled::IVec;
use tandem_proto::v1::{Feedback, Memory, Outcomes, UsageTally};
use uuid::Uuid;

use super::books::{Attempt, Scores};
use super::changes::Changes;
use super::database::{Database, unreadable};
use super::journal::Entry;
use super::memories::without_origin;
use super::record::{insert_conversation, update_key};
use super::summaries::Summary;
use super::{codec, key};
use crate::{Error, Result};

/// Most bytes of records that are checked at once.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Something that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, and how.
    pub what: String,
    /// What to do.
    pub advice: Cow<'static, str>,
    /// Nothing to do any more.
    pub repaired: bool,
}

/// What a part of the check came to.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) findings: Vec<Finding>,
    pub(crate) records: u64,
    /// Where to go on; `None` behind the last part.
    pub(crate) next: Option<IVec>,
}

const RESTORE: &str = "restore a backup with `tandem memory restore`, or go on without it";
const DELETE: &str = "the others are not touched; restore a backup, or delete the conversation with \
                      `tandem conversation delete`";
const FORGET: &str = "the others are not touched; restore a backup, or forget it with `tandem memory \
                      forget`";
const REPAIR: &str = "`tandem memory check --repair` mends it without a loss";

impl Database {
    /// Checks the records behind `after`, some of them. With `repair`, mends what can be mended
    /// without a loss.
    pub(super) fn check(&mut self, after: Option<IVec>, repair: bool) -> Result<Checked> {
        let mut checked = Checked::default();
        let mut page =
            Page { database: self, findings: Vec::new(), fixes: Changes::default(), turn: None };
        let mut bytes = 0;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for entry in page.database.sled.range::<IVec, _>((from, Bound::Unbounded)) {
            let (key, value) = entry.map_err(unreadable)?;
            bytes += key.len() + value.len();
            checked.records += 1;
            page.look_at(&key, &value)?;
            if bytes >= PAGE_BYTES_MAX {
                // A turn that is cut by the end of the page was checked whole.
                let rest = page.turn.map(|(id, sequence)| key::piece(id, sequence, u16::MAX));
                checked.next = Some(rest.map_or(key, |rest| IVec::from(&rest)));
                break;
            }
        }
        let Page { findings, fixes, .. } = page;
        checked.findings = findings;
        if repair && !fixes.is_empty() {
            self.apply(fixes)?;
            for finding in checked.findings.iter_mut().filter(|it| it.advice == REPAIR) {
                finding.repaired = true;
            }
        }
        Ok(checked)
    }
}

/// A part of the store that is looked at.
struct Page<'a> {
    database: &'a Database,
    findings: Vec<Finding>,
    fixes: Changes,
    /// The turn whose pieces were read last.
    turn: Option<(Uuid, u64)>,
}

impl Page<'_> {
    fn look_at(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if let Some(turn) = key::read_turn(key).filter(|_| key.starts_with(key::TURNS)) {
            let first_of_conversation = self.turn.is_none_or(|(id, _)| id != turn.0);
            if self.turn.replace(turn) == Some(turn) {
                return Ok(());
            }
            return self.turn(turn.0, turn.1, first_of_conversation);
        }
        self.turn = None;
        match key.first() {
            Some(b'c') => self.conversation(key)?,
            Some(b'u') => self.update(key),
            Some(b'v') => {
                self.decode::<UsageTally>("usage of a conversation", value);
                let id = key::read_conversation_usage(key).map(|(id, _)| id);
                if !self.exists(id)? {
                    self.fix("usage of a conversation that does not exist".to_owned());
                    self.fixes.remove(key);
                }
            }
            Some(b's') => {
                self.decode::<Summary>("the summary of a conversation", value);
                if !self.exists(key::read_summary(key))? {
                    self.fix("the summary of a conversation that does not exist".to_owned());
                    self.fixes.remove(key);
                }
            }
            Some(b'k') => self.memory(key, value)?,
            Some(b'l') => {
                self.decode::<u64>("how far a conversation was looked through", value);
                if !self.exists(key::read_heard(key))? {
                    self.fix("how far a conversation was looked through that is gone".to_owned());
                    self.fixes.remove(key);
                }
            }
            Some(b'd') => self.decode::<UsageTally>("usage of a day", value),
            Some(b'e') => self.decode::<String>("settings of an engine", value),
            Some(b'f') => self.decode::<Feedback>("a verdict", value),
            Some(b'x') => self.decode::<Outcomes>("the outcomes of a variant", value),
            Some(b'o') => self.decode::<Attempt>("an attempt", value),
            Some(b'h') => self.decode::<Scores>("the scores of a day", value),
            Some(b'n') => self.decode::<Entry>("a change", value),
            Some(b'm') if key == key::SCHEMA => self.decode::<u32>("the layout", value),
            Some(b'm') if key == key::LEDGER_HEAD => {
                self.decode::<String>("the ledger's end", value);
            }
            Some(b'm') => self.decode::<Vec<u8>>("a fact about the store", value),
            _ => self.tell(
                format!("a record of an unknown kind, {:?}", key.escape_ascii().to_string()),
                RESTORE,
            ),
        }
        Ok(())
    }

    fn conversation(&mut self, key: &[u8]) -> Result<()> {
        let Some(id) = key::read_conversation(key) else {
            self.tell("a conversation without an id".to_owned(), RESTORE);
            return Ok(());
        };
        let conversation = match self.database.read_conversation(id) {
            Ok(conversation) => conversation,
            Err(Error::ConversationNotFound { .. }) => return Ok(()),
            Err(error) => {
                self.tell(error.to_string(), DELETE);
                return Ok(());
            }
        };
        let turns = u32::try_from(self.database.sequences(id).len()).unwrap_or(u32::MAX);
        let update = update_key(id, &conversation);
        let listed = self.database.sled.contains_key(update).map_err(unreadable)?;
        if turns != conversation.turns || !listed {
            let counted = conversation.turns;
            self.fix(if listed {
                format!("conversation {id} has {turns} turns and counts {counted}")
            } else {
                format!("conversation {id} is not listed")
            });
            let mended = tandem_proto::v1::Conversation { turns, ..conversation };
            insert_conversation(&mut self.fixes, id, &mended);
        }
        Ok(())
    }

    fn memory(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let Ok(memory) = codec::decode::<Memory>(value) else {
            let id = key::read_memory(key).unwrap_or_default();
            self.tell(format!("memory {id} is damaged"), FORGET);
            return Ok(());
        };
        let origin = Uuid::try_parse(&memory.conversation_id).ok();
        if origin.is_some() && !self.exists(origin)? {
            self.fix(format!("memory {} is from a conversation that does not exist", memory.id));
            self.fixes.insert(key, codec::encode(&without_origin(memory)));
        }
        Ok(())
    }

    fn turn(&mut self, id: Uuid, sequence: u64, first_of_conversation: bool) -> Result<()> {
        if let Err(error) = self.database.turn(id, sequence) {
            self.tell(error.to_string(), DELETE);
        }
        if first_of_conversation && !self.exists(Some(id))? {
            self.tell(format!("turns of conversation {id}, which does not exist"), RESTORE);
        }
        Ok(())
    }

    fn update(&mut self, key: &[u8]) {
        let id = key::read_update(key).map(|(_, id)| id);
        let fits = match id.map(|id| self.database.read_conversation(id)) {
            Some(Ok(conversation)) => id.is_some_and(|id| update_key(id, &conversation) == key),
            // It keeps a damaged conversation in the list.
            Some(Err(error)) => !matches!(error, Error::ConversationNotFound { .. }),
            None => false,
        };
        if !fits {
            self.fix("a place in the list of conversations that leads nowhere".to_owned());
            self.fixes.remove(key);
        }
    }

    fn exists(&self, id: Option<Uuid>) -> Result<bool> {
        let Some(id) = id else { return Ok(false) };
        self.database.sled.contains_key(key::conversation(id)).map_err(unreadable)
    }

    fn decode<M: Message + Default>(&mut self, what: &str, value: &[u8]) {
        if let Err(damage) = codec::decode::<M>(value) {
            self.tell(format!("{what} {damage}"), RESTORE);
        }
    }

    fn tell(&mut self, what: String, advice: &'static str) {
        self.findings.push(Finding { what, advice: advice.into(), repaired: false });
    }

    fn fix(&mut self, what: String) {
        self.tell(what, REPAIR);
    }
}
