//! Chat templates of the user's own, and what a model thinks.

use std::fs;

use tandem_proto::v1::ask_event::Event;
use tandem_proto::v1::{AskRequest, Sampling};
use tandem_tests::{Answer, Daemon, Setup, question};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// Opens a thought that no model here knows how to end.
const THINKER: &str = "{% for message in messages %}{{ message.content.split('</think>')[-1] }}\n\
    {% endfor %}<think>\n";

async fn ask(daemon: &Daemon, model: &str, conversation: &str) -> Answer {
    let sampling = Sampling { temperature: Some(0.0), max_tokens: Some(12), ..Sampling::default() };
    let request = AskRequest {
        model: model.to_owned(),
        conversation_id: conversation.to_owned(),
        sampling: Some(sampling),
        ..question("The capital of France is")
    };
    daemon.ask_with(request).await
}

#[tokio::test]
async fn a_template_of_the_users_own_is_used_and_a_wrong_one_is_told_at_once() {
    let daemon = Setup::real().start().await;
    let home = daemon.home();
    let entry = |id: &str, template: &str| {
        format!(
            "[[models]]\nid = '{id}'\nname = '{id}'\nfile = '{FILE}'\ntemplate = '{template}'\n"
        )
    };
    let catalog =
        entry("mistyped", "thinkre") + &entry("broken", "broken") + &entry("ok", "thinker");
    fs::write(home.model("catalog.toml"), catalog).unwrap();
    let templates = home.path().join("templates");
    fs::create_dir(&templates).unwrap();
    fs::write(templates.join("thinker.jinja"), THINKER).unwrap();
    fs::write(templates.join("broken.jinja"), "{% for message in messages %}\n{{ message }")
        .unwrap();

    let unknown = ask(&daemon, "mistyped", "").await.error.unwrap();
    assert!(unknown.message.contains("there are: thinker, broken"), "{unknown:?}");
    let broken = ask(&daemon, "broken", "").await.error.unwrap();
    assert!(broken.message.contains("does not compile"), "{broken:?}");
    assert!(broken.message.contains("chat:2"), "{broken:?}");

    let conversation = daemon.conversation().await;
    let answer = ask(&daemon, "ok", &conversation).await;
    let thought: String = answer
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Delta(delta) => Some(delta.reasoning.as_str()),
            _ => None,
        })
        .collect();
    assert!(!thought.is_empty(), "{answer:?}");
    assert_eq!(answer.complete(), "", "it never came to an answer");
    let turns = daemon.turns(&conversation).await;
    assert_eq!(turns, [("The capital of France is".to_owned(), String::new())]);
}
