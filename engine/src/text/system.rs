//! How much of a chat prompt is its system part, which other chats begin with as well.

use std::collections::VecDeque;

use tandem_proto::v1::{ChatMessage, Role};

/// System parts remembered: those of a few programs at once.
const KNOWN_MAX: usize = 8;

/// Two questions that have nothing in common. What prompts with either begin with comes from the
/// system messages and the template.
const PROBES: [&str; 2] = ["0", "Why"];

/// Tokens at the end of a system part that the tokenizer may join with the message behind it.
const JOINT_TOKENS_MAX: usize = 4;

/// Remembers the tokens of system parts by the texts of their messages.
#[derive(Debug, Default)]
pub struct SystemParts {
    /// The one used last is in front.
    known: VecDeque<(Vec<String>, Vec<u32>)>,
}

impl SystemParts {
    /// How many tokens of `prompt`, made of `messages`, are the same whatever follows the system
    /// messages at the beginning; 0 without any. `tokenize` makes a prompt of other messages.
    pub fn tokens<E>(
        &mut self,
        messages: &[ChatMessage],
        prompt: &[u32],
        tokenize: impl Fn(&[ChatMessage]) -> Result<Vec<u32>, E>,
    ) -> usize {
        let system = messages.iter().take_while(|message| message.role() == Role::System).count();
        let system = &messages[..system];
        if system.is_empty() {
            return 0;
        }
        let texts: Vec<String> = system.iter().map(|message| message.content.clone()).collect();
        let known = self.known.iter().position(|(known, _)| *known == texts);
        if let Some(entry) = known.and_then(|at| self.known.remove(at)) {
            let shared = shared(&entry.1, prompt);
            // Much less than what is known is shared when the template writes the date.
            if shared + JOINT_TOKENS_MAX >= entry.1.len() {
                self.known.push_front(entry);
                return shared;
            }
        }
        let [one, other] = PROBES.map(|probe| {
            let question = ChatMessage {
                role: Role::User.into(),
                content: probe.to_owned(),
                ..Default::default()
            };
            let messages: Vec<ChatMessage> = system.iter().cloned().chain([question]).collect();
            tokenize(&messages)
        });
        let (Ok(mut part), Ok(other)) = (one, other) else { return 0 };
        part.truncate(shared(&part, &other));
        let shared = shared(&part, prompt);
        self.known.truncate(KNOWN_MAX - 1);
        self.known.push_front((texts, part));
        shared
    }
}

/// Length of what both begin with.
fn shared(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::chat::{Chat, ChatError, Guard};
    use std::cell::Cell;

    /// Each byte of the rendered prompt is a token.
    struct Prompts {
        chat: Chat,
        rendered: Cell<usize>,
    }

    impl Prompts {
        fn new(template: Option<&str>) -> Self {
            let guard = Guard::new(Vec::new());
            let chat = Chat::new(template, guard, String::new(), String::new());
            Self { chat, rendered: Cell::new(0) }
        }

        fn tokenize(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, ChatError> {
            self.rendered.set(self.rendered.get() + 1);
            Ok(self.chat.render(messages)?.concat().bytes().map(u32::from).collect())
        }

        /// The system part of a prompt of these messages, as text.
        fn part(&self, parts: &mut SystemParts, messages: &[(Role, &str)]) -> String {
            let messages: Vec<ChatMessage> = messages
                .iter()
                .map(|&(role, text)| ChatMessage {
                    role: role.into(),
                    content: text.to_owned(),
                    ..Default::default()
                })
                .collect();
            let prompt = self.tokenize(&messages).unwrap();
            let length = parts.tokens(&messages, &prompt, |messages| self.tokenize(messages));
            prompt[..length].iter().map(|&token| char::from_u32(token).unwrap()).collect()
        }
    }

    const SYSTEM: (Role, &str) = (Role::System, "Be brief.");
    const EXPECTED: &str = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n";

    #[test]
    fn it_ends_where_the_first_question_begins_whatever_that_is() {
        let prompts = Prompts::new(None);
        let mut parts = SystemParts::default();
        for question in ["Hello", "0", "Why", "0123", "", "<|im_end|>"] {
            let part = prompts.part(&mut parts, &[SYSTEM, (Role::User, question)]);
            assert_eq!(part, EXPECTED, "{question}");
        }
        let chat = [SYSTEM, (Role::User, "a"), (Role::Assistant, "b"), (Role::User, "c")];
        assert_eq!(prompts.part(&mut parts, &chat), EXPECTED);
    }

    #[test]
    fn it_is_worked_out_once_for_each_system_text() {
        let prompts = Prompts::new(None);
        let mut parts = SystemParts::default();
        let ask = |parts: &mut SystemParts, text| {
            let before = prompts.rendered.get();
            prompts.part(parts, &[(Role::System, text), (Role::User, "Hello")]);
            // One rendering is the prompt itself.
            prompts.rendered.get() - before - 1
        };
        assert_eq!([ask(&mut parts, "a"), ask(&mut parts, "a")], [PROBES.len(), 0]);
        let others: Vec<String> = (0..KNOWN_MAX).map(|n| format!("other {n}")).collect();
        assert!(others.iter().all(|text| ask(&mut parts, text) == PROBES.len()));
        assert_eq!(parts.known.len(), KNOWN_MAX);
        assert_eq!(ask(&mut parts, "a"), PROBES.len(), "forgotten meanwhile");
        assert_eq!(ask(&mut parts, &others[KNOWN_MAX - 1]), 0);
    }

    #[test]
    fn all_system_messages_at_the_beginning_count_and_no_later_ones() {
        let prompts = Prompts::new(None);
        let second = (Role::System, "Be kind.");
        let mut parts = SystemParts::default();
        let part = prompts.part(&mut parts, &[SYSTEM, second, (Role::User, "Hello"), SYSTEM]);
        assert!(
            part.contains("Be brief.") && part.ends_with("Be kind.<|im_end|>\n<|im_start|>user\n")
        );
        assert_eq!(prompts.part(&mut parts, &[(Role::User, "Hello"), SYSTEM]), "");
    }

    #[test]
    fn a_template_that_writes_into_the_user_turn_is_understood() {
        let template = "{% for m in messages %}{% if m.role == 'system' %}{% set ns = m.content %}\
            {% endif %}{% endfor %}<user>{{ messages[0].content }}\n\n{{ messages[1].content }}";
        let prompts = Prompts::new(Some(template));
        let mut parts = SystemParts::default();
        let part = prompts.part(&mut parts, &[SYSTEM, (Role::User, "Hello")]);
        assert_eq!(part, "<user>Be brief.\n\n");
    }

    #[test]
    fn a_part_that_has_changed_since_is_worked_out_again() {
        let at = |day: &str| {
            format!("Today is {day}. {{{{ messages[0].content }}}}\n{{{{ messages[1].content }}}}")
        };
        let mut parts = SystemParts::default();
        for day in ["Monday", "Tuesday", "Tuesday"] {
            let prompts = Prompts::new(Some(&at(day)));
            let part = prompts.part(&mut parts, &[SYSTEM, (Role::User, "Hello")]);
            assert_eq!(part, format!("Today is {day}. Be brief.\n"));
        }
    }

    #[test]
    fn a_template_that_refuses_the_probe_gives_no_part() {
        let template =
            "{% if messages[1].content != 'Hello' %}{{ raise_exception('no') }}{% endif %}x";
        let prompts = Prompts::new(Some(template));
        assert_eq!(prompts.part(&mut SystemParts::default(), &[SYSTEM, (Role::User, "Hello")]), "");
    }
}
