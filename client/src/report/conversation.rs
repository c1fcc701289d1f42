//! Stored conversations.

use std::fmt::Write as _;

use serde::Serialize;
use tandem_client::v1;

use super::answer::ToolCall;
use super::{Tokens, filled, finish_reason, name, table, track};

/// A conversation without its turns. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Conversation {
    pub(crate) id: String,
    pub(crate) title: Option<String>,
    pub(crate) created: Option<String>,
    pub(crate) updated: Option<String>,
    /// Of turns that name none; null leaves it to the daemon.
    pub(crate) policy: Option<String>,
    #[serde(rename = "turn_count")]
    pub(crate) turns: u32,
}

/// One question and its answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Turn {
    pub(crate) id: String,
    pub(crate) prompt: String,
    pub(crate) answer: String,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) track: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) created: Option<String>,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) finish_reason: Option<String>,
}

/// A conversation and all of its turns, oldest first.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Transcript {
    #[serde(flatten)]
    pub(crate) conversation: Conversation,
    pub(crate) turns: Vec<Turn>,
}

/// Turns that were found, best first.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Search {
    pub(crate) found: Vec<Found>,
}

/// A turn that was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Found {
    pub(crate) conversation: Conversation,
    pub(crate) turn_id: String,
    pub(crate) created: Option<String>,
    pub(crate) snippet: String,
    /// Begin and end of the words, in bytes of the snippet.
    pub(crate) marked: Vec<(u32, u32)>,
    pub(crate) score: f32,
}

impl From<v1::SearchConversationsResponse> for Search {
    fn from(response: v1::SearchConversationsResponse) -> Self {
        let found = response.found.into_iter().map(|found| Found {
            conversation: found.conversation.unwrap_or_default().into(),
            turn_id: found.turn_id,
            created: found.created.map(|time| time.to_string()),
            snippet: found.snippet,
            marked: found.marked.into_iter().map(|marked| (marked.begin, marked.end)).collect(),
            score: found.score,
        });
        Self { found: found.collect() }
    }
}

impl Search {
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for Found { conversation, created, snippet, .. } in &self.found {
            let when = created.as_deref().map(minute).unwrap_or_default();
            let title = conversation.title.as_deref().unwrap_or("(without title)");
            let snippet = snippet.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(text, "{} · {when} · {title}\n    {snippet}", conversation.id);
        }
        if text.is_empty() { "nothing has all of these words\n".into() } else { text }
    }
}

impl From<v1::Conversation> for Conversation {
    fn from(conversation: v1::Conversation) -> Self {
        Self {
            policy: (conversation.policy() != v1::Policy::Unspecified)
                .then(|| name(conversation.policy().as_str_name(), "POLICY_")),
            id: conversation.id,
            title: filled(conversation.title),
            created: conversation.created.map(|time| time.to_string()),
            updated: conversation.updated.map(|time| time.to_string()),
            turns: conversation.turns,
        }
    }
}

impl From<v1::Turn> for Turn {
    fn from(turn: v1::Turn) -> Self {
        Self {
            track: track(turn.track()),
            finish_reason: finish_reason(turn.finish_reason()),
            id: turn.id,
            prompt: turn.prompt,
            answer: turn.answer,
            tool_calls: turn.tool_calls.into_iter().map(ToolCall::from).collect(),
            model: filled(turn.model),
            created: turn.created.map(|time| time.to_string()),
            tokens: turn.usage.map(Tokens::from),
        }
    }
}

impl From<v1::GetConversationResponse> for Transcript {
    fn from(response: v1::GetConversationResponse) -> Self {
        Self {
            conversation: response.conversation.unwrap_or_default().into(),
            turns: response.turns.into_iter().map(Turn::from).collect(),
        }
    }
}

/// The conversations below headings.
pub(crate) fn list(conversations: &[Conversation]) -> String {
    if conversations.is_empty() {
        return "no conversations are stored; `tandem chat` begins one\n".into();
    }
    let rows: Vec<_> = conversations
        .iter()
        .map(|conversation| {
            [
                conversation.id.clone(),
                conversation.updated.as_deref().map(minute).unwrap_or_default(),
                conversation.turns.to_string(),
                conversation.title.as_deref().unwrap_or_default().replace('\n', " "),
            ]
        })
        .collect();
    table(["ID", "UPDATED (UTC)", "TURNS", "TITLE"], &rows)
}

impl Transcript {
    /// The conversation as it was said.
    pub(crate) fn text(&self) -> String {
        let title = self.conversation.title.as_deref().unwrap_or("(without title)");
        let mut text = format!("{title}\n{}\n", self.conversation.id);
        for turn in &self.turns {
            let by = turn.model.as_deref().or(turn.track.as_deref()).unwrap_or("answer");
            let when = turn.created.as_deref().map(minute).unwrap_or_default();
            let _ = write!(text, "\nyou · {when}\n{}\n\n{by}\n{}\n", turn.prompt, turn.answer);
            for ToolCall { id, name, arguments } in &turn.tool_calls {
                let _ = writeln!(text, "{id} {name} {arguments}");
            }
        }
        text
    }
}

/// `2026-11-21T07:14:26.123Z` to the minute: `2026-11-21 07:14`.
fn minute(time: &str) -> String {
    time.chars().take(16).map(|letter| if letter == 'T' { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn transcript() -> Transcript {
        v1::GetConversationResponse {
            conversation: Some(v1::Conversation {
                id: "c1".into(),
                title: "Tea".into(),
                turns: 1,
                ..Default::default()
            }),
            turns: vec![v1::Turn {
                id: "t1".into(),
                prompt: "Green?".into(),
                answer: "Yes.".into(),
                track: v1::Track::Fast.into(),
                model: "small".into(),
                ..Default::default()
            }],
        }
        .into()
    }

    #[test]
    fn a_transcript_reads_as_it_was_said() {
        assert_eq!(transcript().text(), "Tea\nc1\n\nyou · \nGreen?\n\nsmall\nYes.\n");
    }

    #[test]
    fn the_json_of_a_transcript_has_the_turns_and_their_number() {
        let json = serde_json::to_value(transcript()).unwrap();
        assert_eq!(json["id"], "c1");
        assert_eq!(json["turn_count"], 1);
        assert_eq!(json["turns"][0]["answer"], "Yes.");
        assert_eq!(json["turns"][0]["tokens"], serde_json::Value::Null);
    }

    #[test]
    fn times_are_shown_to_the_minute() {
        assert_eq!(minute("2026-11-21T07:14:26.123Z"), "2026-11-21 07:14");
    }
}
