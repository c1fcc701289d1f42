//! Text to tokens and back.

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::to_engine::Message as ToMessage;
use tandem_proto::engine::{CountTokens, Detokenize, Rejection, Tokenize};

use crate::harness::{Engine, user};

pub fn tokens(engine: &mut Engine, text: &str, parse_special: bool) -> Vec<u32> {
    let text = text.to_owned();
    engine.send(ToMessage::Tokenize(Tokenize { id: 5, text, add_special: false, parse_special }));
    match engine.reply() {
        Message::Tokens(tokens) => {
            assert_eq!(tokens.id, 5);
            tokens.tokens
        }
        other => panic!("unexpected {other:?}"),
    }
}

#[test]
fn text_survives_the_way_to_tokens_and_back() {
    let mut engine = Engine::loaded();
    for text in ["", "Hello, world!", "  Grüße,\n\t世界 🦀 <|im_end|> \u{0} fn main() {}"] {
        let tokens = tokens(&mut engine, text, false);
        engine.send(ToMessage::Detokenize(Detokenize { id: 6, tokens }));
        match engine.reply() {
            Message::Text(back) => assert_eq!((back.id, back.text.as_str()), (6, text)),
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[test]
fn control_tokens_are_read_as_such_only_when_asked() {
    let mut engine = Engine::loaded();
    assert_eq!(tokens(&mut engine, "<|im_end|>", true).len(), 1);
    assert!(tokens(&mut engine, "<|im_end|>", false).len() > 1);
}

#[test]
fn texts_and_messages_are_counted() {
    let mut engine = Engine::loaded();
    let one = tokens(&mut engine, "Hello, world!", false).len();
    let texts = vec!["Hello, world!".to_owned(), String::new()];
    let messages = user("Hello, world!");
    engine.send(ToMessage::CountTokens(CountTokens { id: 9, texts, messages }));
    match engine.reply() {
        Message::Count(count) => {
            assert_eq!(count.id, 9);
            assert_eq!(count.texts, [u32::try_from(one).unwrap(), 0]);
            assert!(count.messages > count.texts[0] + 10);
        }
        other => panic!("unexpected {other:?}"),
    }
}

#[test]
fn unknown_tokens_have_no_text() {
    let mut engine = Engine::loaded();
    engine.send(ToMessage::Detokenize(Detokenize { id: 3, tokens: vec![1, u32::MAX] }));
    match engine.reply() {
        Message::Rejected(rejected) => {
            assert_eq!((rejected.id, rejected.rejection()), (3, Rejection::Invalid));
        }
        other => panic!("unexpected {other:?}"),
    }
}
