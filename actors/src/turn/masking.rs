//! Personal data in what a provider reads: masked before it is sent, and put back as the answer
//! comes.

use tandem_config::Redact;
use tandem_proto::v1::{ChatMessage, Role, Sampling};

use crate::redaction::{Counts, Form, Mask, Redaction, Restorer};
use crate::{Error, Result, Tools, TrackEvent};

/// What may be sent.
#[derive(Debug)]
pub(super) struct Masked {
    pub(super) messages: Vec<ChatMessage>,
    pub(super) sampling: Sampling,
    pub(super) tools: Tools,
    /// What was found, and how to undo what was done; `None` when nothing was.
    pub(super) undo: Option<(Counts, Unmask)>,
}

/// Masks all texts of a request, or refuses it if such data stays here. Pictures are sent as they are.
pub(super) fn mask(
    redaction: &Redaction,
    how: Redact,
    messages: Vec<ChatMessage>,
    sampling: Sampling,
    tools: Tools,
) -> Result<Masked> {
    let mut masked = Masked { messages, sampling, tools, undo: None };
    if how == Redact::Off {
        return Ok(masked);
    }
    let mut texts = Vec::new();
    masked.each_text(|form, text| texts.push((form, text.clone())));
    let texts: Vec<_> = texts.iter().map(|(form, text)| (*form, text.as_str())).collect();
    let mask = redaction.mask(&texts);
    if mask.is_empty() {
        return Ok(masked);
    }
    let found = mask.counts();
    if how == Redact::Local {
        return Err(Error::PersonalData { found: found.to_string() });
    }
    masked.each_text(|form, text| *text = mask.apply(form, text));
    if let Some(note) = mask.note() {
        tell(&mut masked.messages, note);
    }
    // A value with a quote must not end a string of an answer in JSON.
    let answers_json = masked.sampling.json || !masked.sampling.json_schema.is_empty();
    let form = if answers_json { Form::Json } else { Form::Text };
    let (text, reasoning) = (mask.restorer(form), mask.restorer(Form::Text));
    masked.undo = Some((found, Unmask { text, reasoning, mask }));
    Ok(masked)
}

impl Masked {
    /// Everything that a provider would read.
    fn each_text(&mut self, mut change: impl FnMut(Form, &mut String)) {
        for message in &mut self.messages {
            // Results of tools are mostly JSON; what is not is taken as it is.
            let form = if message.role() == Role::Tool { Form::Json } else { Form::Text };
            change(form, &mut message.content);
            for call in &mut message.tool_calls {
                change(Form::Json, &mut call.arguments);
            }
        }
        for stop in &mut self.sampling.stop {
            change(Form::Text, stop);
        }
        if !self.sampling.json_schema.is_empty() {
            change(Form::Json, &mut self.sampling.json_schema);
        }
        for tool in &mut self.tools.offered {
            change(Form::Text, &mut tool.description);
            if !tool.parameters.is_empty() {
                change(Form::Json, &mut tool.parameters);
            }
        }
    }
}

/// Adds to the system prompt, or makes one.
fn tell(messages: &mut Vec<ChatMessage>, note: &str) {
    match messages.first_mut() {
        Some(first) if first.role() == Role::System => {
            first.content.push_str("\n\n");
            first.content.push_str(note);
        }
        _ => {
            let (role, content) = (Role::System.into(), note.to_owned());
            messages.insert(0, ChatMessage { role, content, ..ChatMessage::default() });
        }
    }
}

/// Puts personal data back into an answer.
#[derive(Debug)]
pub(super) struct Unmask {
    text: Restorer,
    reasoning: Restorer,
    mask: Mask,
}

impl Unmask {
    /// What the caller reads of an event. Before the last one comes what was held back of a
    /// placeholder that did not end.
    pub(super) fn event(&mut self, event: TrackEvent) -> Vec<TrackEvent> {
        match event {
            TrackEvent::Delta { text, reasoning, logprobs } => {
                let (text, reasoning) = (self.text.push(&text), self.reasoning.push(&reasoning));
                vec![TrackEvent::Delta { text, reasoning, logprobs }]
            }
            TrackEvent::ToolCall(mut call) => {
                call.arguments = self.mask.restore(Form::Json, &call.arguments);
                vec![TrackEvent::ToolCall(call)]
            }
            TrackEvent::Done(_) | TrackEvent::Failed(_) => {
                let (text, reasoning) = (self.text.finish(), self.reasoning.finish());
                let held = !text.is_empty() || !reasoning.is_empty();
                let rest = TrackEvent::Delta { text, reasoning, logprobs: Vec::new() };
                Some(rest).filter(|_| held).into_iter().chain([event]).collect()
            }
            TrackEvent::Cached(_) | TrackEvent::Resumed { .. } | TrackEvent::Notice(..) => {
                vec![event]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tandem_config::Security;

    use super::*;
    use crate::Completion;

    fn masked(content: &str, how: Redact, sampling: Sampling) -> Result<Masked> {
        let redaction = Redaction::new(&Security::default()).unwrap();
        let message = ChatMessage {
            role: Role::User.into(),
            content: content.to_owned(),
            ..ChatMessage::default()
        };
        let result = ChatMessage {
            role: Role::Tool.into(),
            content: r#"{"card": 4111111111111111}"#.to_owned(),
            ..ChatMessage::default()
        };
        let messages = if sampling.stop.is_empty() { vec![message] } else { vec![message, result] };
        mask(&redaction, how, messages, sampling, Tools::default())
    }

    fn delta(text: &str) -> TrackEvent {
        TrackEvent::Delta { text: text.to_owned(), reasoning: String::new(), logprobs: Vec::new() }
    }

    #[test]
    fn nothing_of_a_request_has_the_address_and_the_answer_has_it_again() {
        let sampling = Sampling {
            stop: vec!["ada@example.org".to_owned()],
            json_schema: r#"{"const": "ada@example.org"}"#.to_owned(),
            ..Sampling::default()
        };
        let Masked { messages, sampling, undo, .. } =
            masked("Write to ada@example.org.", Redact::Mask, sampling).unwrap();
        assert!(!format!("{messages:?}{sampling:?}").contains("example.org"));
        assert!(!format!("{messages:?}").contains("4111"));
        assert_eq!(messages[0].role(), Role::System, "the provider is told of placeholders");
        assert_eq!(sampling.stop, ["[EMAIL_1]"]);
        let (found, mut unmask) = undo.unwrap();
        assert_eq!(found.to_string(), "1 e-mail address and 1 card number");
        let events = ["Dear [EM", "AIL_1], why [EMAIL"].map(|piece| unmask.event(delta(piece)));
        let last = unmask.event(TrackEvent::Done(Completion::whole()));
        assert_eq!(last.len(), 2);
        let text: String = events
            .into_iter()
            .flatten()
            .chain(last)
            .filter_map(|event| match event {
                TrackEvent::Delta { text, .. } => Some(text),
                _ => None,
            })
            .collect();
        assert_eq!(text, "Dear ada@example.org, why [EMAIL");
    }

    #[test]
    fn what_has_no_such_data_is_sent_as_it_is() {
        for how in [Redact::Mask, Redact::Local, Redact::Off] {
            let masked = masked("Why is the sky blue?", how, Sampling::default()).unwrap();
            assert_eq!(masked.messages.len(), 1);
            assert!(masked.undo.is_none());
        }
    }

    #[test]
    fn such_data_stays_here_or_goes_out_as_the_settings_say() {
        let local = masked("ada@example.org", Redact::Local, Sampling::default());
        assert!(matches!(local, Err(Error::PersonalData { .. })));
        let sent = masked("ada@example.org", Redact::Off, Sampling::default()).unwrap();
        assert_eq!(sent.messages[0].content, "ada@example.org");
    }
}
