//! Engines that cannot load, models that come and go.

use tandem_proto::engine::LoadFailure;
use tandem_proto::error as reason;
use tandem_proto::v1::load_model_event::Event;
use tandem_proto::v1::{AskRequest, LoadModelRequest, ModelState};
use tandem_tests::script::{Life, Load, Script};
use tandem_tests::{Daemon, Failure, Setup, question, soon};
use tonic::Code;

const WORDS: &str = "here I am";

fn good() -> Life {
    Life::answering(WORDS)
}

#[tokio::test]
async fn a_model_that_the_engine_refuses_is_a_typed_error_with_its_words() {
    let problem = "the vocabulary is missing";
    let refuses = good().but_at_load(Load::fails(LoadFailure::Model, problem));
    let daemon = Setup::scripted(&Script::lives([refuses, good()])).start().await;
    let answer = daemon.ask("hello").await;
    let failure = answer.failure();
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::FailedPrecondition, reason::MODEL_INVALID)
    );
    assert!(failure.message.contains(problem), "{failure:?}");
    assert_eq!(failure.retry_after, None);
    // The file may have been replaced meanwhile.
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
}

#[tokio::test]
async fn an_illegal_instruction_leads_to_safer_settings_that_are_remembered() {
    let dies = good().but_at_load(Load::Die("ILL".to_owned()));
    let mut daemon = Setup::scripted(&Script::lives([dies, good()])).start().await;
    let conversation = daemon.conversation().await;
    let request = tandem_proto::v1::AskRequest {
        conversation_id: conversation,
        ..tandem_tests::question("hello")
    };
    assert_eq!(daemon.ask_with(request).await.complete(), WORDS);
    let engine = daemon.engine().await;
    assert_eq!(engine.settings, "use_extra_bufts=false");
    assert!(engine.settings_reason.contains("SIGILL"), "{:?}", engine.settings_reason);

    daemon.terminate();
    assert_eq!(daemon.ended().await.code(), Some(0));
    daemon.restart().await;
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    let again = daemon.engine().await;
    assert_eq!((again.settings, again.settings_reason), (engine.settings, engine.settings_reason));
    assert_eq!(
        daemon.home().logged("load"),
        [
            "life 1 load use_extra_bufts=true flash_attention=true self_test=true",
            "life 2 load use_extra_bufts=false flash_attention=true self_test=true",
            "life 3 load use_extra_bufts=false flash_attention=true self_test=false",
        ]
    );
}

#[tokio::test]
async fn an_engine_that_dies_with_all_settings_is_given_up() {
    let dies = good().but_at_load(Load::Die("ILL".to_owned()));
    let daemon = Setup::scripted(&Script::always(dies)).start().await;
    let answer = daemon.ask("hello").await;
    let failure = answer.failure();
    assert_eq!(failure.reason, reason::MODEL_INVALID, "{failure:?}");
    assert!(failure.message.contains("SIGILL"), "{failure:?}");
    let loads = daemon.home().logged("load");
    assert_eq!(loads.len(), 3, "{loads:?}");
    assert!(loads[2].contains("use_extra_bufts=false flash_attention=false"), "{loads:?}");
}

#[tokio::test]
async fn an_engine_that_computes_nonsense_with_some_settings_gets_safer_ones() {
    let fails = good().but_at_load(Load::fails(LoadFailure::SelfTest, "logits are not numbers"));
    let daemon = Setup::scripted(&Script::lives([fails, good()])).start().await;
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    let engine = daemon.engine().await;
    assert_eq!(engine.settings, "use_extra_bufts=false");
    assert!(engine.settings_reason.contains("not numbers"), "{engine:?}");
}

#[tokio::test]
async fn a_model_that_is_not_exact_is_tried_without_repacked_weights_and_then_refused() {
    let problem = "the model's answers are not exact";
    let fails = good().but_at_load(Load::fails(LoadFailure::NotExact, problem));
    let daemon = Setup::scripted(&Script::lives([fails.clone(), fails, good()]))
        .config("[engine]\nexact = true\n")
        .start()
        .await;
    let answer = daemon.ask("hello").await;
    let failure = answer.failure();
    assert_eq!(failure.reason, reason::MODEL_INVALID, "{failure:?}");
    assert!(failure.message.contains(problem), "{failure:?}");
    let loads = daemon.home().logged("load");
    assert_eq!(loads.len(), 2, "{loads:?}");
    assert!(loads[1].contains("use_extra_bufts=false flash_attention=true"), "{loads:?}");
    assert!(loads.iter().all(|load| load.ends_with("exact=true")), "{loads:?}");
}

#[tokio::test]
async fn an_engine_without_enough_memory_is_not_available_and_says_what_to_do() {
    let fails = good().but_at_load(Load::fails(LoadFailure::Memory, "no room for the KV cache"));
    let daemon = Setup::scripted(&Script::always(fails)).start().await;
    let answer = daemon.ask("hello").await;
    assert_unavailable(answer.failure(), "no room for the KV cache");
    assert!(answer.failure().message.contains("engine.context_tokens"), "{answer:?}");
}

#[tokio::test]
async fn an_engine_that_hangs_while_it_loads_is_replaced() {
    let hangs = good().but_at_load(Load::Hang);
    let daemon = Setup::scripted(&Script::lives([hangs, good()]))
        .config("[engine]\nload_timeout = \"500ms\"\n")
        .start()
        .await;
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    assert_eq!(daemon.home().logged("load").len(), 2);
}

#[tokio::test]
async fn an_engine_that_dies_again_and_again_is_given_up_and_left_alone_for_a_while() {
    let dies = good().but_at_load(Load::Die("KILL".to_owned()));
    let daemon =
        Setup::scripted(&Script::always(dies)).config("[engine]\nrestarts_max = 2\n").start().await;
    let pid = daemon.pid();
    for _ in 0..3 {
        let answer = daemon.ask("hello").await;
        assert_unavailable(answer.failure(), "SIGKILL");
        assert_eq!(daemon.home().logged("start").len(), 3, "one start and two more");
    }
    assert_eq!(daemon.status().await.pid, pid);
}

#[tokio::test]
async fn a_missing_engine_is_named_with_its_path() {
    let home_script = Script::always(good());
    let setup = Setup::scripted(&home_script).with_engine("/nowhere/tandem-engine");
    let daemon = setup.start().await;
    let answer = daemon.ask("hello").await;
    assert_unavailable(answer.failure(), "/nowhere/tandem-engine");
    assert!(answer.failure().message.contains("engine.binary"), "{answer:?}");
}

#[tokio::test]
async fn an_engine_of_another_protocol_is_refused() {
    let stranger = Life { protocol: 99, ..good() };
    let daemon = Setup::scripted(&Script::always(stranger)).start().await;
    let answer = daemon.ask("hello").await;
    assert_unavailable(answer.failure(), "speaks protocol 99");
    assert_eq!(daemon.home().logged("load"), [""; 0]);
}

fn assert_unavailable(failure: &Failure, why: &str) {
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::Unavailable, reason::ENGINE_UNAVAILABLE)
    );
    assert!(failure.message.contains(why), "{failure:?}");
    assert!(failure.retry_after.is_some(), "{failure:?}");
}

#[tokio::test]
async fn a_model_is_loaded_and_unloaded_on_request_by_any_of_its_names() {
    let daemon = Setup::scripted(&Script::always(good())).start().await;
    let path = daemon.home().model("scripted.gguf").display().to_string();
    for name in ["", "scripted", "scripted.gguf", &path] {
        let events = load(&daemon, name).await.unwrap();
        let Some(Event::Loaded(model)) = events.last() else { panic!("{events:?}") };
        assert_eq!((&model.id, model.state()), (&path, ModelState::Loaded));
        let pid = model.engine.as_ref().unwrap().pid;
        assert!(tandem_tests::with_home(daemon.home().path()).iter().any(|(p, _)| *p == pid));

        assert_eq!(daemon.unload(name).await, Ok(true), "loaded as {name:?}");
        assert_eq!(tandem_tests::with_home(daemon.home().path()).len(), 1, "the daemon alone");
        assert_eq!(daemon.unload(name).await, Ok(false), "not loaded as {name:?}");
    }
    let failure = daemon.unload("unheard-of").await.unwrap_err();
    assert_eq!((failure.code, failure.reason.as_str()), (Code::NotFound, reason::MODEL_NOT_FOUND));
}

#[tokio::test]
async fn an_unload_ends_answers_with_a_typed_error() {
    let waits = good().but_after(1, tandem_tests::script::Fate::Wait);
    let daemon = Setup::scripted(&Script::always(waits)).start().await;
    let mut asking = daemon.begin(tandem_tests::question("hello")).await;
    asking.until_text(1).await;
    assert_eq!(daemon.unload("").await, Ok(true));
    let answer = asking.finish().await;
    assert_eq!(answer.failure().reason, reason::CANCELLED);
    assert!(answer.failure().message.contains("unloaded"), "{answer:?}");
}

#[tokio::test]
async fn a_model_that_nobody_uses_is_unloaded() {
    let daemon = Setup::scripted(&Script::always(good()))
        .config("[models]\nkeep_alive = \"10ms\"\n")
        .start()
        .await;
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    daemon.until("the model to be unloaded", |status| status.models.is_empty()).await;
    assert_eq!(daemon.ask("hello again").await.complete(), WORDS);
    assert_eq!(daemon.home().logged("start").len(), 2);
}

#[tokio::test]
async fn an_engine_killed_while_it_loads_is_started_again_with_the_same_settings() {
    let dies = good().but_at_load(Load::Die("KILL".to_owned()));
    let daemon = Setup::scripted(&Script::lives([dies, good()])).start().await;
    let events = load(&daemon, "").await.unwrap();
    assert!(matches!(events.last(), Some(Event::Loaded(_))), "{events:?}");
    assert_eq!(daemon.engine().await.settings, "defaults");
}

/// Loads a model and returns all that is said about it.
async fn load(daemon: &Daemon, name: &str) -> Result<Vec<Event>, Failure> {
    soon("a model to be loaded", async {
        let request = LoadModelRequest { id: name.to_owned(), pin: false };
        let mut stream = daemon.client().models().load(request).await?.into_inner();
        let mut events = Vec::new();
        while let Some(event) = stream.message().await? {
            events.extend(event.event);
        }
        Ok(events)
    })
    .await
}

#[tokio::test]
async fn a_model_that_does_not_fit_into_memory_is_refused_with_both_numbers() {
    let config = "[resources]\nmemory_reserve_bytes = \"4096GiB\"\n";
    let daemon = Setup::scripted(&Script::always(good())).config(config).start().await;
    let answer = daemon.ask("hello").await;
    let failure = answer.failure();
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::ResourceExhausted, reason::MODEL_TOO_LARGE)
    );
    assert!(failure.message.contains("and 0 MiB may be used"), "{failure:?}");
    assert!(daemon.status().await.models.is_empty());
}

#[tokio::test]
async fn a_model_that_is_hosted_is_not_looked_for_again_by_whichever_name_it_is_asked_for() {
    let daemon = Setup::scripted(&Script::always(Life::answering(WORDS))).start().await;
    let by_short_name = || AskRequest { model: "scripted".to_owned(), ..question("hello") };
    assert_eq!(daemon.ask_with(by_short_name()).await.complete(), WORDS);
    let file = daemon.home().model("scripted.gguf");
    std::fs::rename(&file, file.with_extension("moved")).unwrap();
    assert_eq!(daemon.ask_with(by_short_name()).await.complete(), WORDS);
    assert_eq!(daemon.home().logged("start").len(), 1);

    assert!(daemon.unload("scripted").await.unwrap());
    let answer = daemon.ask_with(by_short_name()).await;
    assert_eq!(answer.failure().reason, reason::MODEL_NOT_FOUND, "{answer:?}");
}
