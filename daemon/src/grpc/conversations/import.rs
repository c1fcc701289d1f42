//! Takes conversations in, one by one, and counts.

use tandem_actors::Error;
use tandem_actors::memory_store::MemoryStore;
use tandem_actors::memory_store::exchange::{Broken, Whole};
use tandem_proto::v1::{ImportConversationsResponse, RefusedConversation};

/// Most refusals that are told one by one.
const REFUSED_MAX: usize = 1000;

/// An import under way.
pub(super) struct Import<'a> {
    store: &'a MemoryStore,
    replace: bool,
    response: ImportConversationsResponse,
}

impl<'a> Import<'a> {
    pub(super) fn new(store: &'a MemoryStore) -> Self {
        Self { store, replace: false, response: ImportConversationsResponse::default() }
    }

    /// Whether conversations that are there already are replaced.
    pub(super) fn replace(&mut self, replace: bool) {
        self.replace = replace;
    }

    /// Takes these in. An error ends the import; what was taken in before stays.
    pub(super) async fn take(&mut self, read: Vec<Result<Whole, Broken>>) -> Result<(), Error> {
        for read in read {
            match read {
                Ok(whole) => self.take_whole(whole).await?,
                Err(Broken { line, id, problem }) => self.refuse(line, id, problem),
            }
        }
        Ok(())
    }

    pub(super) fn done(self) -> ImportConversationsResponse {
        self.response
    }

    async fn take_whole(&mut self, whole: Whole) -> Result<(), Error> {
        let Whole { line, conversation, turns } = whole;
        let (id, count) = (conversation.id.clone(), turns.len());
        match self.store.import_conversation(conversation, turns, self.replace).await {
            Ok(()) => {
                self.response.conversations += 1;
                self.response.turns += u32::try_from(count).unwrap_or(u32::MAX);
            }
            Err(Error::Invalid { problem, .. }) => self.refuse(line, id, problem),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn refuse(&mut self, line: u64, id: String, problem: String) {
        self.response.refused_count += 1;
        if self.response.refused.len() < REFUSED_MAX {
            self.response.refused.push(RefusedConversation { line, id, problem });
        }
    }
}
