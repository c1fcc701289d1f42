//! Chat templates that come with the load.

use tandem_proto::engine::Load;
use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::to_engine::Message as ToMessage;
use tandem_proto::engine::{CountTokens, Tokenize};
use tandem_proto::v1::FinishReason;

use crate::harness::{Engine, chat, greedy, load_request, user};

#[test]
fn a_template_in_the_load_takes_the_place_of_the_models_own() {
    let mut engine = Engine::start();
    let chat_template = "{{ messages[-1].content }}!".to_owned();
    let loaded = engine.load(Load { chat_template, ..load_request() }).unwrap();
    assert!(loaded.has_chat_template);
    let text = "Hi!".to_owned();
    engine.send(ToMessage::Tokenize(Tokenize {
        id: 1,
        text,
        add_special: true,
        ..Tokenize::default()
    }));
    let Message::Tokens(plain) = engine.reply() else { panic!("no tokens") };
    engine.send(ToMessage::CountTokens(CountTokens {
        id: 2,
        messages: user("Hi"),
        texts: Vec::new(),
    }));
    let Message::Count(count) = engine.reply() else { panic!("no count") };
    assert_eq!(count.messages as usize, plain.tokens.len());
    assert_eq!(engine.ask(chat("Hi", greedy(3))).reason(), FinishReason::Length);
}

#[test]
fn a_template_that_does_not_compile_fails_the_load_and_names_the_line() {
    let mut engine = Engine::start();
    let chat_template =
        "{% for message in messages %}\n{{ message.content\n{% endfor %}".to_owned();
    let failure = engine.load(Load { chat_template, ..load_request() }).unwrap_err();
    assert!(failure.contains("Template") && failure.contains("chat:3"), "{failure}");
    engine.wait();
}

#[test]
fn a_template_that_is_too_long_is_refused() {
    let mut engine = Engine::start();
    let chat_template = "x".repeat((256 << 10) + 1);
    let failure = engine.load(Load { chat_template, ..load_request() }).unwrap_err();
    assert!(failure.contains("Request") && failure.contains("at most 262144"), "{failure}");
    engine.wait();
}
