//! Personal data in what a provider reads: masked before it is sent, and put back as the answer
//! comes.

use tandem_config::Redact;
use tandem_proto::v1::{ChatMessage, Role, Sampling};

use crate::redaction::{Counts, Form, Redaction, Restorer};
use crate::{Error, Result, TrackEvent};

/// What may be sent.
#[derive(Debug)]
pub(super) struct Masked {
    pub(super) messages: Vec<ChatMessage>,
    pub(super) sampling: Sampling,
    /// What was found, and how to undo what was done; `None` when nothing was.
    pub(super) undo: Option<(Counts, Unmask)>,
}

/// Masks all texts of a request, or refuses it if such data stays here.
pub(super) fn mask(
    redaction: &Redaction,
    how: Redact,
    mut messages: Vec<ChatMessage>,
    mut sampling: Sampling,
) -> Result<Masked> {
    if how == Redact::Off {
        return Ok(Masked { messages, sampling, undo: None });
    }
    let texts = messages.iter().map(|message| (Form::Text, message.content.as_str()));
    let stops = sampling.stop.iter().map(|stop| (Form::Text, stop.as_str()));
    let schema = (Form::Json, sampling.json_schema.as_str());
    let mask = redaction.mask(&texts.chain(stops).chain([schema]).collect::<Vec<_>>());
    if mask.is_empty() {
        return Ok(Masked { messages, sampling, undo: None });
    }
    let found = mask.counts();
    if how == Redact::Local {
        return Err(Error::PersonalData { found: found.to_string() });
    }
    for message in &mut messages {
        message.content = mask.apply(Form::Text, &message.content);
    }
    for stop in &mut sampling.stop {
        *stop = mask.apply(Form::Text, stop);
    }
    if !sampling.json_schema.is_empty() {
        sampling.json_schema = mask.apply(Form::Json, &sampling.json_schema);
    }
    if let Some(note) = mask.note() {
        tell(&mut messages, note);
    }
    let unmask = Unmask { text: mask.restorer(Form::Text), reasoning: mask.restorer(Form::Text) };
    Ok(Masked { messages, sampling, undo: Some((found, unmask)) })
}

/// Adds to the system prompt, or makes one.
fn tell(messages: &mut Vec<ChatMessage>, note: &str) {
    match messages.first_mut() {
        Some(first) if first.role() == Role::System => {
            first.content.push_str("\n\n");
            first.content.push_str(note);
        }
        _ => {
            messages.insert(0, ChatMessage { role: Role::System.into(), content: note.to_owned() })
        }
    }
}

/// Puts personal data back into an answer.
#[derive(Debug)]
pub(super) struct Unmask {
    text: Restorer,
    reasoning: Restorer,
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
            TrackEvent::Done(_) | TrackEvent::Failed(_) => {
                let (text, reasoning) = (self.text.finish(), self.reasoning.finish());
                let held = !text.is_empty() || !reasoning.is_empty();
                let rest = TrackEvent::Delta { text, reasoning, logprobs: Vec::new() };
                Some(rest).filter(|_| held).into_iter().chain([event]).collect()
            }
            TrackEvent::Resumed { .. } | TrackEvent::Notice(..) => vec![event],
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
        let message = ChatMessage { role: Role::User.into(), content: content.to_owned() };
        mask(&redaction, how, vec![message], sampling)
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
        let Masked { messages, sampling, undo } =
            masked("Write to ada@example.org.", Redact::Mask, sampling).unwrap();
        assert!(!format!("{messages:?}{sampling:?}").contains("example.org"));
        assert_eq!(messages[0].role(), Role::System, "the provider is told of placeholders");
        assert_eq!(sampling.stop, ["[EMAIL_1]"]);
        let (found, mut unmask) = undo.unwrap();
        assert_eq!(found.to_string(), "1 e-mail address");
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
