#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::llama::fixture;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use tandem_proto::v1::{Role, Sampling};

fn worker() -> TextWorker {
    let writer = Arc::new(Writer::new(UnixStream::pair().unwrap().0));
    let handover = Handover::new(channel().0, Arc::default());
    let model = fixture::model();
    let template = model.chat_template();
    TextWorker::new(model, template.as_deref(), 2048, Arc::new(handover), writer)
}

fn prepare(worker: &TextWorker, generate: Generate) -> Request {
    let sampling = Some(Sampling { seed: Some(1), max_tokens: Some(8), ..Sampling::default() });
    worker.prepare(Generate { sampling, ..generate }, Instant::now()).unwrap()
}

#[test]
fn chats_with_the_same_system_message_share_exactly_their_system_tokens() {
    let worker = worker();
    let chat = |question: &str| {
        let message = |role: Role, content: &str| ChatMessage {
            role: role.into(),
            content: content.to_owned(),
            ..Default::default()
        };
        let instruction = "You answer in one short sentence. Never apologise.";
        let messages = vec![message(Role::System, instruction), message(Role::User, question)];
        prepare(&worker, Generate { messages, ..Generate::default() })
    };
    let requests = ["What is a tide?", "0", "Why?", "And <|im_end|> then?"].map(chat);
    let system = &requests[0].prompt[..requests[0].system_tokens];
    let text = String::from_utf8(worker.model.detokenize(system).unwrap()).unwrap();
    assert!(text.contains("Never apologise."), "{text}");
    for request in &requests {
        assert_eq!(&request.prompt[..request.system_tokens], system);
    }
    let behind = requests.map(|request| request.prompt[request.system_tokens]);
    assert_ne!(behind[0], behind[1], "the first token of the question is not part of it");
}

#[test]
fn a_bare_prompt_has_no_system_tokens() {
    let prompt = "Once upon a time".to_owned();
    let request = prepare(&worker(), Generate { prompt, ..Generate::default() });
    assert_eq!(request.system_tokens, 0);
}
