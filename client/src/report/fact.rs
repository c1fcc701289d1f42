//! What is remembered of the user beyond conversations.

use serde::Serialize;
use tandem_client::v1;

use super::{filled, table};

/// Something that is remembered. Times are RFC 3339 in UTC.
#[allow(clippy::struct_excessive_bools, reason = "each is a label of its own")]
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fact {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) pinned: bool,
    pub(crate) private: bool,
    pub(crate) by_hand: bool,
    /// Where it was found; null when it was added by hand or the conversation is gone.
    pub(crate) conversation: Option<String>,
    pub(crate) turn: Option<String>,
    pub(crate) created: Option<String>,
    pub(crate) updated: Option<String>,
    /// When a model was told it last, to within a day; null means never.
    pub(crate) used: Option<String>,
}

impl From<v1::Memory> for Fact {
    fn from(memory: v1::Memory) -> Self {
        Self {
            id: memory.id,
            text: memory.text,
            pinned: memory.pinned,
            private: memory.private,
            by_hand: memory.by_hand,
            conversation: filled(memory.conversation_id),
            turn: filled(memory.turn_id),
            created: memory.created.map(|time| time.to_string()),
            updated: memory.updated.map(|time| time.to_string()),
            used: memory.used.map(|time| time.to_string()),
        }
    }
}

impl Fact {
    pub(crate) fn line(&self) -> String {
        let labels = self.labels();
        let labels = if labels.is_empty() { labels } else { format!(" ({labels})") };
        format!("{}{labels} {}\n", self.id, self.text)
    }

    fn labels(&self) -> String {
        let labels = [(self.pinned, "pinned"), (self.private, "private")];
        let labels: Vec<_> =
            labels.into_iter().filter(|(is, _)| *is).map(|(_, label)| label).collect();
        labels.join(", ")
    }

    fn origin(&self) -> &'static str {
        match (self.by_hand, &self.conversation) {
            (true, None) => "you",
            (true, Some(_)) => "a conversation, changed by you",
            (false, Some(_)) => "a conversation",
            (false, None) => "a conversation that is gone",
        }
    }
}

/// Memories below headings, or `none`.
pub(crate) fn list(facts: &[Fact], none: &str) -> String {
    if facts.is_empty() {
        return none.to_owned();
    }
    let row =
        |fact: &Fact| [fact.id.clone(), fact.labels(), fact.origin().to_owned(), fact.text.clone()];
    table(["ID", "LABELS", "FROM", "TEXT"], &facts.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_who_wrote_each_and_who_may_read_it() {
        let memory = |id: &str, text: &str| v1::Memory {
            id: id.into(),
            text: text.into(),
            ..v1::Memory::default()
        };
        let facts = [
            v1::Memory { pinned: true, private: true, by_hand: true, ..memory("a", "I like tea.") },
            v1::Memory { conversation_id: "c".into(), ..memory("b", "I live in Rome.") },
        ]
        .map(Fact::from);
        assert_eq!(
            list(&facts, ""),
            "ID  LABELS           FROM            TEXT\n\
             a   pinned, private  you             I like tea.\n\
             b                    a conversation  I live in Rome.\n"
        );
        assert_eq!(list(&[], "none\n"), "none\n");
        assert_eq!(facts[0].line(), "a (pinned, private) I like tea.\n");
        assert_eq!(facts[1].line(), "b I live in Rome.\n");
    }
}
