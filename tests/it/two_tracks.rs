//! Both tracks in one turn: at the same time, one after the other, and neither.

use tandem_proto::error as reason;
use tandem_proto::v1::ask_event::Event;
use tandem_proto::v1::{
    AskRequest, CreateConversationRequest, ModelStatsRequest, NoticeKind, Policy, Priority,
    Sampling, Track,
};
use tandem_tests::script::{Fate, Life, Load, Script};
use tandem_tests::{Answer, Daemon, Home, LOOK_AGAIN, LlamaServer, Setup, question, soon};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tonic::Code;

const LOCAL: &str = "the local model has spoken";
const PROMPT: &str = "What is the capital of France?";

fn short(policy: Policy) -> AskRequest {
    let sampling = Sampling { temperature: Some(0.0), max_tokens: Some(12), ..Sampling::default() };
    AskRequest { policy: policy.into(), sampling: Some(sampling), ..question(PROMPT) }
}

/// A daemon whose local model follows the script, with a provider that nobody serves.
async fn without_provider(life: Life, config: &str) -> Daemon {
    let config = format!(
        "[providers.remote]\nbase_url = \"http://127.0.0.1:1/v1\"\nmodel = \"none\"\n{config}"
    );
    Setup::scripted(&Script::always(life)).config(&config).start().await
}

fn superseded(answer: &Answer) -> Vec<(Track, Track)> {
    let events = answer.events.iter().filter_map(|event| match event {
        Event::Superseded(superseded) => Some((superseded.track(), superseded.by())),
        _ => None,
    });
    events.collect()
}

/// Answers that local models have completed.
async fn answers(daemon: &Daemon) -> u64 {
    let stats = daemon.client().models().stats(ModelStatsRequest::default()).await.unwrap();
    let models = stats.into_inner().models;
    models.iter().filter_map(|model| model.answers).map(|totals| totals.answers).sum()
}

#[tokio::test]
async fn in_a_duo_the_local_answer_is_shown_and_the_remote_one_counts() {
    let server = LlamaServer::start().await;
    let script = Script::always(Life::answering(LOCAL));
    let daemon = Setup::scripted(&script).config(&server.provider()).start().await;
    // With the local model loaded, its six words are there first.
    daemon.ask_with(short(Policy::Fast)).await.complete();
    let conversation = daemon.conversation().await;
    let request = AskRequest { conversation_id: conversation.clone(), ..short(Policy::Duo) };
    let answer = daemon.ask_with(request).await;
    assert!(answer.complete().contains("Paris"), "{answer:?}");
    let routed = answer.routed().unwrap();
    assert_eq!((routed.track(), routed.beside()), (Track::Fast, Track::Slow));
    assert!(answer.text.contains(LOCAL), "{answer:?}");
    assert_eq!(superseded(&answer), [(Track::Fast, Track::Slow)]);
    assert_eq!(answer.done().unwrap().track(), Track::Slow);
    let turns = daemon.turns(&conversation).await;
    assert_eq!(turns, [(PROMPT.to_owned(), answer.complete())]);

    // A program that reads the answer gets the one that counts, and nothing else.
    let arguments = ["ask", "--policy", "duo", "--temperature", "0", "--max-tokens", "12", PROMPT];
    let output = daemon.home().tandem(&arguments).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Paris") && !text.contains(LOCAL), "{text}");
}

#[tokio::test]
async fn in_a_duo_the_local_answer_stands_when_the_provider_fails() {
    let daemon = without_provider(Life::answering(LOCAL), "").await;
    let answer = daemon.ask_with(short(Policy::Duo)).await;
    assert_eq!(answer.complete(), LOCAL);
    assert_eq!(answer.notices(NoticeKind::FellBack).len(), 1, "{answer:?}");
    assert_eq!(superseded(&answer), []);
}

#[tokio::test]
async fn a_duo_that_is_cancelled_ends_both_tracks() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config =
        format!("[providers.spy]\nbase_url = \"http://127.0.0.1:{port}/v1\"\nmodel = \"spy\"\n");
    let script = Script::always(Life::answering(LOCAL).but_after(2, Fate::Wait));
    let daemon = Setup::scripted(&script).config(&config).start().await;
    let mut asking = daemon.begin(short(Policy::Duo)).await;
    let (mut connection, _) = soon("a connection", listener.accept()).await.unwrap();
    asking.until_text(1).await;
    drop(asking);
    let mut request = Vec::new();
    soon("the connection to be closed", connection.read_to_end(&mut request)).await.unwrap();
    daemon.home().until_logged("life 1 cancel 1").await;
}

#[tokio::test]
async fn the_slow_track_takes_over_before_words_are_shown_that_the_model_is_not_sure_of() {
    let server = LlamaServer::start().await;
    let words = "one two three four five six seven eight nine ten";
    let life = Life::answering(words).but_unsure_of(5..8);
    let config = format!("[router]\nhandoff_tokens = 3\n{}", server.provider());
    let daemon = Setup::scripted(&Script::always(life)).config(&config).start().await;

    let answer = daemon.ask_with(short(Policy::Auto)).await;
    assert!(answer.complete().contains("Paris"), "{answer:?}");
    assert_eq!(answer.notices(NoticeKind::Escalated).len(), 1, "{answer:?}");
    assert_eq!(superseded(&answer), [(Track::Fast, Track::Slow)]);
    for unseen in ["six", "seven", "eight", "nine"] {
        assert!(!answer.text.contains(unseen), "{answer:?}");
    }
    assert!(answer.text.starts_with("one two"), "{answer:?}");
    let deltas = answer.events.iter().filter_map(|event| match event {
        Event::Delta(delta) => Some(delta.logprobs.len()),
        _ => None,
    });
    assert_eq!(deltas.sum::<usize>(), 0, "nobody asked for log-probabilities");

    // The policy that keeps the turn here is not worth less than that.
    for policy in [Policy::Private, Policy::Fast] {
        let mut request = short(policy);
        if let Some(sampling) = &mut request.sampling {
            // What the decision would rest on.
            sampling.logprobs = Some(0);
        }
        let answer = daemon.ask_with(request).await;
        assert_eq!(answer.complete(), words);
        assert_eq!(superseded(&answer), []);
    }
}

#[tokio::test]
async fn what_was_held_back_is_shown_when_the_slow_track_cannot_take_over() {
    let words = "one two three four five six seven eight nine ten";
    let life = Life::answering(words).but_unsure_of(5..8);
    let daemon = without_provider(life, "[router]\nhandoff_tokens = 3\n").await;
    let answer = daemon.ask_with(short(Policy::Auto)).await;
    assert_eq!(answer.complete(), words);
    assert_eq!(answer.notices(NoticeKind::FellBack).len(), 1, "{answer:?}");
}

#[tokio::test]
async fn a_model_that_takes_long_to_load_is_masked_and_reads_what_it_missed() {
    let server = LlamaServer::start().await;
    let life = Life::answering(LOCAL).but_at_load(Load::Wait);
    let config = format!("[router]\ncold_start_patience = \"1ms\"\n{}", server.provider());
    let daemon = Setup::scripted(&Script::always(life)).config(&config).start().await;
    let conversation = daemon.conversation().await;
    let ask = || AskRequest { conversation_id: conversation.clone(), ..short(Policy::Auto) };

    let first = daemon.ask_with(ask()).await;
    assert_eq!(first.routed().unwrap().track(), Track::Fast);
    assert!(first.complete().contains("Paris"), "{first:?}");
    assert_eq!(first.done().unwrap().track(), Track::Slow);
    daemon.home().release();
    // The conversation ends with the answer that was missed, and not with a question.
    let read = format!("generate 1 resume=0 {}", first.complete());
    soon("the conversation to be read", async {
        while !daemon.home().engine_log().join("\n").contains(&read) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    let second = daemon.ask_with(ask()).await;
    assert_eq!(second.done().unwrap().track(), Track::Fast);
    assert_eq!(second.complete(), LOCAL);
}

#[tokio::test]
async fn the_second_turn_after_a_masked_start_finds_the_conversation_in_the_cache() {
    let server = LlamaServer::start().await;
    let home = Home::empty();
    let release = home.path().join("release");
    let wrapper = home.path().join("slow-to-load");
    let engine = tandem_tests::program("tandem-engine");
    let script = format!(
        "#!/bin/sh\nwhile [ ! -e {release:?} ]; do sleep 0.05; done\nexec {engine:?} \"$@\"\n"
    );
    std::fs::write(&wrapper, script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&wrapper, executable).unwrap();
    let config = format!("[router]\ncold_start_patience = \"1ms\"\n{}", server.provider());
    let daemon = Setup::real_beside(&server).config(&config).with_engine(&wrapper).start().await;
    let conversation = daemon.conversation().await;
    let ask = || AskRequest { conversation_id: conversation.clone(), ..short(Policy::Auto) };

    let first = daemon.ask_with(ask()).await;
    assert_eq!(first.done().unwrap().track(), Track::Slow, "{first:?}");
    std::fs::write(&release, "").unwrap();
    soon("the conversation to be read", async {
        while answers(&daemon).await == 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    let second = daemon.ask_with(ask()).await;
    assert_eq!(second.done().unwrap().track(), Track::Fast, "{second:?}");
    let usage = second.track_done().unwrap().usage.unwrap();
    assert!(usage.cached_tokens > 0, "{usage:?}");
}

#[tokio::test]
async fn when_nobody_can_answer_a_greeting_is_returned_and_a_question_gets_an_honest_word() {
    let life = Life::answering(LOCAL).but_after(0, Fate::Die("ABRT".to_owned()));
    let config = "[engine]\nrestarts_max = 1\n";
    let daemon = without_provider(life, config).await;
    let greeting = AskRequest { prompt: "Halo!".to_owned(), ..short(Policy::Auto) };
    let to_a_program = daemon.ask_with(greeting.clone()).await;
    assert_eq!(to_a_program.failure().reason, reason::PROVIDER_FAILED, "{to_a_program:?}");
    let greeting = AskRequest { priority: Priority::High.into(), ..greeting };
    let answer = daemon.ask_with(greeting).await;
    assert!(answer.complete().starts_with("Halo!"), "{answer:?}");
    assert_eq!(answer.done().unwrap().track(), Track::BuiltIn);
    assert_eq!(answer.notices(NoticeKind::FellBack).len(), 1, "{answer:?}");
    assert_eq!(answer.notices(NoticeKind::BuiltIn).len(), 1, "{answer:?}");

    let answer = daemon.ask_with(short(Policy::Auto)).await;
    let said = answer.notices(NoticeKind::BuiltIn);
    assert!(said[0].starts_with("I cannot answer now"), "{answer:?}");
    assert_eq!(answer.failure().reason, reason::PROVIDER_FAILED, "{answer:?}");
}

#[tokio::test]
async fn a_policy_belongs_to_a_request_a_conversation_or_a_client() {
    let config = "[router]\nclients = { backup = \"private\" }\nslow_threshold = 0.0\n";
    let daemon = without_provider(Life::answering(LOCAL), config).await;
    let request = AskRequest { client: "backup".to_owned(), ..short(Policy::Unspecified) };
    let answer = daemon.ask_with(request).await;
    assert!(answer.routed().unwrap().reasons[0].contains("private"), "{answer:?}");

    let create = CreateConversationRequest { policy: Policy::Private.into(), ..Default::default() };
    let created = daemon.client().conversations().create(create).await.unwrap().into_inner();
    assert_eq!(created.policy(), Policy::Private);
    let ask = |policy| AskRequest { conversation_id: created.id.clone(), ..short(policy) };
    let answer = daemon.ask_with(ask(Policy::Unspecified)).await;
    assert_eq!(answer.complete(), LOCAL);
    assert!(answer.routed().unwrap().reasons[0].contains("private"), "{answer:?}");
    for policy in [Policy::Auto, Policy::Slow, Policy::Fast, Policy::Duo] {
        let answer = daemon.ask_with(ask(policy)).await;
        let failure = answer.failure();
        assert_eq!(failure.code, Code::InvalidArgument, "{policy:?}");
        assert!(failure.message.contains("conversation"), "{failure:?}");
    }
}

#[tokio::test]
async fn offline_nobody_is_asked_and_the_policy_slow_is_refused() {
    let daemon = without_provider(
        Life::answering(LOCAL),
        "[router]\noffline = true\nslow_threshold = 0.0\n",
    )
    .await;
    let answer = daemon.ask_with(short(Policy::Auto)).await;
    assert_eq!(answer.complete(), LOCAL);
    let refused = daemon.ask_with(short(Policy::Slow)).await;
    assert_eq!(refused.failure().reason, reason::OFFLINE);
}
