//! Prompts of many model families, compared byte for byte with those of Hugging Face's library.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    now: u64,
    conversations: BTreeMap<String, Vec<Message>>,
    families: BTreeMap<String, Family>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
}

#[derive(Deserialize)]
struct Family {
    begin: String,
    end: String,
    expected: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expected {
    Prompt(String),
    Refusal(String),
}

/// Of all families, and some whose beginnings are found in ordinary text.
const CONTROLS: [&str; 16] = [
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|end|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "[THINK]",
    "<|START_THINKING|>",
    "<｜end▁of▁sentence｜>",
    "<|end_of_text|>",
];

fn golden() -> Golden {
    let golden = include_str!("../../tests/golden/chat/expected.json");
    serde_json::from_str(golden).unwrap()
}

fn messages(said: &[Message]) -> Vec<ChatMessage> {
    let message = |Message { role, content }: &Message| {
        let role = match role.as_str() {
            "system" => Role::System,
            "assistant" => Role::Assistant,
            _ => Role::User,
        };
        ChatMessage { role: role.into(), content: content.clone(), ..Default::default() }
    };
    said.iter().map(message).collect()
}

fn chat(name: &str, family: &Family, now: fn() -> u64) -> Chat {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chat");
    let template = std::fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap();
    let guard = Guard::new(CONTROLS.map(str::to_owned).to_vec());
    Chat::with_clock(Some(&template), guard, family.begin.clone(), family.end.clone(), now)
}

#[test]
fn prompts_are_those_of_the_reference_byte_for_byte() {
    const NOW: u64 = 1_741_356_309;
    let Golden { now, conversations, families } = golden();
    assert_eq!(now, NOW);
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (name, family) in &families {
        let chat = chat(name, family, || NOW);
        for (conversation, said) in &conversations {
            let rendered = chat.render(&messages(said)).map(|pieces| pieces.concat());
            let same = match (&family.expected[conversation], &rendered) {
                (Expected::Prompt(expected), Ok(prompt)) => expected == prompt,
                (Expected::Refusal(reason), Err(error)) => error.to_string().ends_with(reason),
                _ => false,
            };
            compared += 1;
            if !same {
                wrong.push(format!("{name}, {conversation}: {rendered:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(compared, families.len() * conversations.len());
    assert!(families.len() >= 25, "{}", families.len());
}
