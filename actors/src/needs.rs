//! What a request needs beside a model that answers with text.

use std::fmt;

use tandem_proto::v1::AskRequest;

use crate::{Prompt, TrackRequest};

/// What who answers must be able to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Look at pictures. The local model cannot.
    pub vision: bool,
    /// Ask for tools and read their results. The local model cannot.
    pub tools: bool,
    /// Answer with JSON. The local model can.
    pub json: bool,
}

/// What a question needs.
#[must_use]
pub fn needs(request: &AskRequest) -> Needs {
    let sampling = request.sampling.as_ref();
    Needs {
        vision: !request.images.is_empty(),
        tools: !request.tools.is_empty() || !request.tool_results.is_empty(),
        json: sampling.is_some_and(|it| it.json || !it.json_schema.is_empty()),
    }
}

impl Needs {
    /// What a generation needs.
    #[must_use]
    pub fn of(request: &TrackRequest) -> Self {
        let sampling = &request.sampling;
        let vision = match &request.prompt {
            Prompt::Text(_) => false,
            Prompt::Chat(messages) => messages.iter().any(|message| !message.images.is_empty()),
        };
        Self {
            vision,
            tools: !request.tools.offered.is_empty(),
            json: sampling.json || !sampling.json_schema.is_empty(),
        }
    }

    /// Whether the local model can do all of it.
    #[must_use]
    pub fn are_local(self) -> bool {
        !self.vision && !self.tools
    }
}

/// As the end of a sentence that begins with "it must".
impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = [
            (self.vision, "look at pictures"),
            (self.tools, "call tools"),
            (self.json, "answer with JSON"),
        ];
        let needed: Vec<_> = each.iter().filter(|(needed, _)| *needed).map(|(_, it)| *it).collect();
        match needed.as_slice() {
            [] => f.write_str("answer"),
            needed => f.write_str(&needed.join(" and ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{Image, Sampling, Tool};

    use super::*;

    #[test]
    fn a_question_needs_what_comes_with_it() {
        let plain = AskRequest::default();
        assert_eq!(needs(&plain), Needs::default());
        let images = AskRequest { images: vec![Image::default()], ..plain.clone() };
        assert!(needs(&images).vision && !needs(&images).are_local());
        let tools = AskRequest { tools: vec![Tool::default()], ..plain.clone() };
        assert!(needs(&tools).tools && !needs(&tools).are_local());
        let json = Sampling { json_schema: "{}".into(), ..Sampling::default() };
        let json = AskRequest { sampling: Some(json), ..plain };
        assert!(needs(&json).json && needs(&json).are_local());
    }

    #[test]
    fn needs_read_as_the_end_of_a_sentence() {
        assert_eq!(Needs::default().to_string(), "answer");
        let all = Needs { vision: true, tools: true, json: true };
        assert_eq!(all.to_string(), "look at pictures and call tools and answer with JSON");
    }
}
