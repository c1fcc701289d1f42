//! How turns with tool calls and pictures are told to a model: as they were to one that is offered
//! tools, in words to any other.

use std::borrow::Cow;
use std::fmt::Write as _;

use tandem_proto::v1::{ChatMessage, Image, Role, ToolCall, ToolResult, Turn};

use super::context::{Dialogue, estimate};
use crate::{Error, Result, Tools, image};

/// What comes with a question beside its words.
#[derive(Debug, Clone, Default)]
pub(super) struct Luggage {
    pub(super) images: Vec<Image>,
    pub(super) tools: Tools,
    /// What came of the calls of the turn before.
    pub(super) results: Vec<ToolResult>,
}

/// What was asked in a turn, in words.
pub(super) fn asked(turn: &Turn) -> Cow<'_, str> {
    if turn.tool_results.is_empty() && turn.images == 0 {
        return Cow::Borrowed(&turn.prompt);
    }
    let mut words = String::new();
    for ToolResult { content, .. } in &turn.tool_results {
        let _ = write!(words, "(result of the tool)\n{content}\n\n");
    }
    words.push_str(&turn.prompt);
    if turn.images > 0 {
        let _ = write!(words, "\n\n({} pictures, which are not shown any more)", turn.images);
    }
    Cow::Owned(words.trim().to_owned())
}

/// What was answered, in words.
pub(super) fn answered(turn: &Turn) -> Cow<'_, str> {
    if turn.tool_calls.is_empty() {
        return Cow::Borrowed(&turn.answer);
    }
    let mut words = turn.answer.clone();
    for ToolCall { name, arguments, .. } in &turn.tool_calls {
        let _ = write!(words, "\n\n(called the tool {name} with {arguments})");
    }
    Cow::Owned(words.trim().to_owned())
}

impl Luggage {
    /// Refuses results that are not those of the calls of the last turn, all of them.
    pub(super) fn check(&self, last: Option<&Turn>) -> Result<()> {
        if self.results.is_empty() {
            return Ok(());
        }
        let calls = last.map(|turn| turn.tool_calls.as_slice()).unwrap_or_default();
        if answer(&self.results, calls) {
            return Ok(());
        }
        let waiting: Vec<_> = calls.iter().map(|call| call.id.as_str()).collect();
        let problem = match waiting.as_slice() {
            [] => "belong to no call: the last turn of the conversation has none".to_owned(),
            ids => {
                format!("are not those of the calls that wait: {}; give each once", ids.join(", "))
            }
        };
        Err(Error::invalid("tool_results", problem))
    }

    /// About how many tokens it adds to the words of the question.
    pub(super) fn tokens(&self) -> u32 {
        let pictures = u32::try_from(self.images.len()).unwrap_or(u32::MAX);
        let tools = u32::try_from(self.tools.len().div_ceil(2)).unwrap_or(u32::MAX);
        let results = self.results.iter().map(|result| estimate(&result.content));
        results
            .fold(tools, u32::saturating_add)
            .saturating_add(pictures.saturating_mul(image::TOKENS))
    }

    /// The messages for a remote model.
    pub(super) fn messages(&self, dialogue: &Dialogue<'_>) -> Vec<ChatMessage> {
        let mut messages = Vec::new();
        if !dialogue.system.is_empty() {
            messages.push(said(Role::System, &dialogue.system));
        }
        let turns = &dialogue.turns;
        let mut calls: &[ToolCall] = &[];
        for (number, turn) in turns.iter().enumerate() {
            if calls.is_empty() {
                messages.push(said(Role::User, &asked(turn)));
            } else {
                messages.extend(turn.tool_results.iter().map(result));
                messages.extend((!turn.prompt.is_empty()).then(|| said(Role::User, &turn.prompt)));
            }
            let next = turns.get(number + 1).map_or(&self.results, |next| &next.tool_results);
            // A call without its result is refused by every API.
            calls = if !self.tools.offered.is_empty() && answer(next, &turn.tool_calls) {
                messages.push(ChatMessage {
                    tool_calls: turn.tool_calls.clone(),
                    ..said(Role::Assistant, &turn.answer)
                });
                &turn.tool_calls
            } else {
                messages.push(said(Role::Assistant, &answered(turn)));
                &[]
            };
        }
        if !calls.is_empty() {
            messages.extend(self.results.iter().map(result));
        }
        if !dialogue.prompt.is_empty() || !self.images.is_empty() {
            let images = self.images.clone();
            messages.push(ChatMessage { images, ..said(Role::User, &dialogue.prompt) });
        }
        messages
    }
}

/// Whether these are the results of all of these calls, of which there are some.
fn answer(results: &[ToolResult], calls: &[ToolCall]) -> bool {
    let answered = |call: &ToolCall| results.iter().any(|result| result.tool_call_id == call.id);
    !calls.is_empty() && results.len() == calls.len() && calls.iter().all(answered)
}

fn said(role: Role, content: &str) -> ChatMessage {
    ChatMessage { role: role.into(), content: content.to_owned(), ..ChatMessage::default() }
}

fn result(ToolResult { tool_call_id, content }: &ToolResult) -> ChatMessage {
    ChatMessage { tool_call_id: tool_call_id.clone(), ..said(Role::Tool, content) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tandem_proto::v1::Tool;

    use super::*;

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.to_owned(), name: "add".to_owned(), arguments: "{\"a\":1}".to_owned() }
    }

    fn result_of(id: &str) -> ToolResult {
        ToolResult { tool_call_id: id.to_owned(), content: format!("result {id}") }
    }

    fn tools() -> Tools {
        Tools { offered: vec![Tool::default()], ..Tools::default() }
    }

    /// A question whose answer calls, then the results and an answer in words.
    fn turns() -> Vec<Turn> {
        vec![
            Turn {
                prompt: "What is 1 + 1, and 2 + 2?".to_owned(),
                tool_calls: vec![call("x"), call("y")],
                ..Turn::default()
            },
            Turn {
                tool_results: vec![result_of("y"), result_of("x")],
                answer: "2 and 4.".to_owned(),
                ..Turn::default()
            },
        ]
    }

    fn told(turns: &[Turn], prompt: &str, luggage: &Luggage) -> Vec<(Role, String)> {
        let (system, prompt) = ("s".to_owned(), prompt.to_owned());
        let messages =
            luggage.messages(&Dialogue { system, turns: turns.iter().collect(), prompt });
        let words = |message: &ChatMessage| {
            let calls: String =
                message.tool_calls.iter().flat_map(|it| [" [", &it.id, "]"]).collect();
            let id = Some(&message.tool_call_id).filter(|id| !id.is_empty());
            let of = id.map(|id| format!("{id}: ")).unwrap_or_default();
            format!("{of}{}{calls}", message.content)
        };
        messages.iter().map(|message| (message.role(), words(message))).collect()
    }

    #[test]
    fn who_is_offered_tools_reads_calls_and_results_as_they_were() {
        let luggage = Luggage { tools: tools(), ..Luggage::default() };
        let expected = [
            (Role::System, "s"),
            (Role::User, "What is 1 + 1, and 2 + 2?"),
            (Role::Assistant, " [x] [y]"),
            (Role::Tool, "y: result y"),
            (Role::Tool, "x: result x"),
            (Role::Assistant, "2 and 4."),
            (Role::User, "Thanks"),
        ];
        let expected = expected.map(|(role, words)| (role, words.to_owned()));
        assert_eq!(told(&turns(), "Thanks", &luggage), expected);
    }

    #[test]
    fn results_follow_the_calls_of_the_last_turn() {
        let results = vec![result_of("x"), result_of("y")];
        let luggage = Luggage { tools: tools(), results, ..Luggage::default() };
        luggage.check(turns().first()).unwrap();
        let messages = told(&turns()[..1], "", &luggage);
        let roles: Vec<_> = messages.iter().map(|(role, _)| *role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool, Role::Tool]);
        assert_eq!(luggage.tokens(), 2 * estimate("result x"));
    }

    #[test]
    fn everybody_else_reads_them_in_words() {
        let messages = told(&turns(), "Thanks", &Luggage::default());
        assert_eq!(messages[2].0, Role::Assistant);
        assert!(messages[2].1.contains("called the tool add with {\"a\":1}"), "{messages:?}");
        assert_eq!(messages[3].0, Role::User);
        assert!(messages[3].1.contains("result y"), "{messages:?}");
        let image = Turn { images: 2, prompt: "What is it?".to_owned(), ..Turn::default() };
        assert_eq!(asked(&image), "What is it?\n\n(2 pictures, which are not shown any more)");
    }

    #[test]
    fn a_call_that_was_never_answered_and_a_result_without_its_call_are_words() {
        let luggage = Luggage { tools: tools(), ..Luggage::default() };
        let unanswered = told(&turns()[..1], "Never mind", &luggage);
        assert!(unanswered[2].1.contains("called the tool add"), "{unanswered:?}");
        let dropped = told(&turns()[1..], "Thanks", &luggage);
        assert_eq!(dropped[1].0, Role::User);
        assert!(dropped[1].1.contains("result y"), "{dropped:?}");
    }

    #[test]
    fn results_that_do_not_fit_the_calls_are_refused_with_those_that_wait() {
        let problem = |ids: &[&str], turns: &[Turn]| {
            let results = ids.iter().map(|id| result_of(id)).collect();
            let error = Luggage { results, ..Luggage::default() }.check(turns.last()).unwrap_err();
            error.to_string()
        };
        let calls = &turns()[..1];
        for ids in [&["x"][..], &["x", "z"], &["x", "y", "z"]] {
            assert!(problem(ids, calls).contains("calls that wait: x, y; give each once"));
        }
        assert!(problem(&["x"], &turns()).contains("the last turn of the conversation has none"));
        assert!(problem(&["x"], &[]).contains("belong to no call"));
    }
}
