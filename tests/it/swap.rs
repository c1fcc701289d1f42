//! Another model or version in the place of the one that answers, and who answers where it cannot.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use tandem_proto::error as reason;
use tandem_proto::v1::use_model_event::Event;
use tandem_proto::v1::{
    AskRequest, LoadModelRequest, Model, ModelStatsRequest, NoticeKind, RecommendRequest,
    ReloadRequest, RollBackModelRequest, Sampling, StatusResponse, UseModelEvent, UseModelRequest,
};
use tandem_tests::script::{Fate, Life, Script};
use tandem_tests::{Answer, Daemon, Failure, Home, Setup, gguf, question, soon};
use tonic::{Code, Streaming};

const WORDS: &str = "the readiness is all";
const SWAPS: usize = 20;
const CLIENTS: usize = 8;
const OLD: &str = "smol@1.0.0";
const NEW: &str = "smol@1.1.0";

/// A daemon whose default model is `smol`, of which there are two versions. Nobody has chosen one yet.
async fn two_versions(script: &Script) -> Daemon {
    let setup = Setup::scripted(script).environment("TANDEM_MODELS__DEFAULT", "smol");
    for id in [OLD, NEW] {
        fs::write(setup.home().model(&format!("{id}.gguf")), gguf::tiny()).unwrap();
    }
    fs::remove_file(setup.home().model("scripted.gguf")).unwrap();
    setup.start().await
}

async fn scripted() -> Daemon {
    two_versions(&Script::always(Life::answering(WORDS))).await
}

/// The same with the real engine and two names of a real model.
async fn real() -> Daemon {
    let setup = Setup::real();
    for id in [OLD, NEW] {
        symlink(Home::real_model(), setup.home().model(&format!("{id}.gguf"))).unwrap();
    }
    setup.start().await
}

async fn last(events: Result<tonic::Response<Streaming<UseModelEvent>>, tonic::Status>) -> Outcome {
    let mut events = events?.into_inner();
    let mut in_use = None;
    while let Some(event) = events.message().await? {
        if let Some(Event::InUse(model)) = event.event {
            in_use = Some(model);
        }
    }
    Ok(in_use.expect("the last event carries the model"))
}

type Outcome = Result<Model, Failure>;

async fn use_model(daemon: &Daemon, id: &str) -> Outcome {
    let mut models = daemon.client().models();
    let request = UseModelRequest { id: id.to_owned() };
    soon("a swap", async { last(models.r#use(request).await).await }).await
}

async fn roll_back(daemon: &Daemon, id: &str) -> Outcome {
    let mut models = daemon.client().models();
    let request = RollBackModelRequest { id: id.to_owned() };
    soon("a swap back", async { last(models.roll_back(request).await).await }).await
}

fn answered_by(answer: &Answer) -> &str {
    assert_eq!(answer.error, None, "{answer:?}");
    &answer.track_done().unwrap().model
}

fn short(prompt: &str) -> AskRequest {
    let sampling = Sampling { max_tokens: Some(8), ..Sampling::default() };
    AskRequest { sampling: Some(sampling), ..question(prompt) }
}

async fn swap_under_load(daemon: &Daemon) {
    let done = AtomicBool::new(false);
    let clients = (0..CLIENTS).map(|client| {
        let done = &done;
        async move {
            let mut answered = 0;
            while !done.load(Ordering::Relaxed) {
                let request = AskRequest { client: format!("c{client}"), ..short("go on") };
                let answer = daemon.ask_with(request).await;
                assert_eq!(answer.error, None, "{answer:?}");
                answered += 1;
            }
            answered
        }
    });
    let swaps = async {
        for round in 0..SWAPS {
            let id = if round % 2 == 0 { OLD } else { NEW };
            assert_eq!(use_model(daemon, id).await.unwrap().id, id);
        }
        done.store(true, Ordering::Relaxed);
    };
    let (answered, ()) = tokio::join!(join_all(clients), swaps);
    assert!(answered.iter().all(|answers: &i32| *answers > 0), "{answered:?}");
    let only_new = |status: &StatusResponse| {
        let ids: Vec<_> = status.models.iter().map(|model| model.id.as_str()).collect();
        ids == [NEW]
    };
    daemon.until("the old one to be gone", only_new).await;
}

#[tokio::test]
async fn twenty_swaps_under_eight_clients_cost_no_answer() {
    swap_under_load(&scripted().await).await;
}

#[tokio::test]
async fn twenty_swaps_of_a_real_model_under_eight_clients_cost_no_answer() {
    let daemon = real().await;
    use_model(&daemon, "smol").await.unwrap();
    swap_under_load(&daemon).await;
}

#[tokio::test]
async fn a_version_is_used_until_it_is_rolled_back_and_the_choice_outlives_the_daemon() {
    let mut daemon = scripted().await;
    assert_eq!(answered_by(&daemon.ask("one").await), NEW, "the highest");
    assert_eq!(use_model(&daemon, OLD).await.unwrap().id, OLD);
    assert_eq!(answered_by(&daemon.ask("two").await), OLD);
    daemon.terminate();
    daemon.ended().await;
    daemon.restart().await;
    assert_eq!(answered_by(&daemon.ask("three").await), OLD);
    assert_eq!(roll_back(&daemon, "smol").await.unwrap().id, NEW);
    let back = daemon.ask("four").await;
    assert_eq!(answered_by(&back), NEW);
    assert_eq!(back.notices(NoticeKind::OtherModel), [""; 0]);
    let named = AskRequest { model: OLD.to_owned(), ..question("five") };
    assert_eq!(answered_by(&daemon.ask_with(named).await), OLD, "as it was asked for");
    let unknown = use_model(&daemon, "smol@7.0.0").await.unwrap_err();
    assert_eq!(unknown.code, Code::InvalidArgument, "{unknown:?}");
    assert!(unknown.message.contains("here are: 1.1.0, 1.0.0"), "{unknown:?}");
}

#[tokio::test]
async fn a_default_model_is_used_until_it_is_rolled_back() {
    let daemon = scripted().await;
    fs::write(daemon.home().model("other.gguf"), gguf::tiny()).unwrap();
    let nothing = roll_back(&daemon, "").await.unwrap_err();
    assert_eq!(nothing.reason, reason::INVALID_ARGUMENT, "{nothing:?}");
    use_model(&daemon, "other").await.unwrap();
    assert!(answered_by(&daemon.ask("one").await).ends_with("other.gguf"));
    let output = daemon.home().tandem(&["model", "rollback", "--json"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(answered_by(&daemon.ask("two").await), NEW);
}

#[tokio::test]
async fn a_swap_to_a_truncated_file_changes_nothing() {
    let daemon = scripted().await;
    use_model(&daemon, OLD).await.unwrap();
    let whole = gguf::tiny();
    fs::write(daemon.home().model(&format!("{NEW}.gguf")), &whole[..whole.len() / 2]).unwrap();
    let chosen = fs::read_to_string(daemon.home().model("choices.toml")).unwrap();
    let failure = use_model(&daemon, NEW).await.unwrap_err();
    assert_eq!(failure.reason, reason::MODEL_INVALID, "{failure:?}");
    assert_eq!(fs::read_to_string(daemon.home().model("choices.toml")).unwrap(), chosen);
    let answer = daemon.ask("still there?").await;
    assert_eq!(answered_by(&answer), OLD);
    assert_eq!(answer.notices(NoticeKind::OtherModel), [""; 0]);
}

#[tokio::test]
async fn a_model_that_writes_nothing_does_not_pass_and_changes_nothing() {
    let lives = [Life::answering(WORDS), Life::answering(""), Life::answering(WORDS)];
    let daemon = two_versions(&Script::lives(lives)).await;
    assert_eq!(answered_by(&daemon.ask("one").await), NEW);
    let failure = use_model(&daemon, OLD).await.unwrap_err();
    assert!(failure.message.contains("did not pass its trial"), "{failure:?}");
    assert_eq!(answered_by(&daemon.ask("two").await), NEW);
    let request = ModelStatsRequest { id: OLD.to_owned() };
    let stats = daemon.client().models().stats(request).await.unwrap().into_inner();
    let health = stats.models[0].health.unwrap();
    assert_eq!(health.trial_passed, Some(false), "{health:?}");
    assert!(health.score <= 0.5, "{health:?}");
}

#[tokio::test]
async fn who_asked_before_a_swap_is_answered_by_the_old_model_which_ends_then() {
    let waits = Life::answering(WORDS).but_after(2, Fate::Wait);
    let daemon = two_versions(&Script::lives([waits, Life::answering(WORDS)])).await;
    let mut asking = daemon.begin(question("begun before")).await;
    asking.until_text(1).await;
    use_model(&daemon, OLD).await.unwrap();
    assert_eq!(answered_by(&daemon.ask("begun after").await), OLD);
    daemon.home().release();
    assert_eq!(answered_by(&asking.finish().await), NEW);
    let one = |status: &StatusResponse| status.models.len() == 1;
    let status = daemon.until("the old one to end", one).await;
    assert!(status.models[0].is_default, "{status:?}");
    assert_eq!(status.models[0].id, OLD);
}

#[tokio::test]
async fn a_version_whose_engine_dies_again_and_again_is_taken_back_and_that_is_said() {
    const MANY: &str = "one two three four five six seven eight nine ten eleven twelve";
    // A trial has eight words.
    let dies = Life::answering(MANY).but_after(10, Fate::Die("KILL".to_owned()));
    let good = Life::answering(MANY);
    let daemon = two_versions(&Script::lives([good.clone(), dies.clone(), dies, good])).await;
    assert_eq!(answered_by(&daemon.ask("one").await), NEW);
    use_model(&daemon, OLD).await.unwrap();
    // Whatever becomes of this question, both engines die under it.
    daemon.ask("two").await;
    let said = Box::pin(async {
        loop {
            let answer = daemon.ask("three").await;
            let said = answer.notices(NoticeKind::OtherModel).join("");
            if said.contains("taken back") {
                assert_eq!(answered_by(&answer), NEW);
                break said;
            }
        }
    });
    assert!(soon("the way back to be said", said).await.contains(NEW));
    assert_eq!(answered_by(&daemon.ask("four").await), NEW);
}

#[tokio::test]
async fn a_default_model_that_is_damaged_is_stood_in_for_and_one_that_was_named_is_not() {
    let daemon = scripted().await;
    let whole = gguf::tiny();
    fs::write(daemon.home().model(&format!("{NEW}.gguf")), &whole[..whole.len() / 2]).unwrap();
    for _ in 0..2 {
        let answer = daemon.ask("hello").await;
        assert_eq!(answered_by(&answer), OLD);
        let said = answer.notices(NoticeKind::OtherModel);
        assert_eq!(said.len(), 1, "{answer:?}");
        assert!(said[0].contains("cannot be used") && said[0].contains(OLD), "{said:?}");
    }
    let named = AskRequest { model: NEW.to_owned(), ..question("hello") };
    assert_eq!(daemon.ask_with(named).await.failure().reason, reason::MODEL_INVALID);
    let output = daemon.home().tandem(&["model", "list", "--json"]).await;
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let models = list["models"].as_array().unwrap();
    let damaged = models.iter().find(|model| model["id"] == NEW).unwrap();
    assert!(damaged["problem"].is_string(), "{damaged}");
}

#[tokio::test]
async fn a_default_model_that_is_gone_is_stood_in_for() {
    let daemon = scripted().await;
    use_model(&daemon, OLD).await.unwrap();
    daemon.unload("").await.unwrap();
    fs::remove_file(daemon.home().model(&format!("{OLD}.gguf"))).unwrap();
    let answer = daemon.ask("hello").await;
    assert_eq!(answered_by(&answer), NEW, "the version before");
    assert_eq!(answer.notices(NoticeKind::OtherModel).len(), 1, "{answer:?}");
}

#[tokio::test]
async fn a_pinned_model_outlasts_one_that_nobody_uses_and_goes_when_it_is_unloaded() {
    let setup = Setup::scripted(&Script::always(Life::answering(WORDS)));
    fs::write(setup.home().model("other.gguf"), gguf::tiny()).unwrap();
    let daemon = setup.config("[models]\nkeep_alive = \"10ms\"\n").start().await;
    let mut models = daemon.client().models();
    let request = LoadModelRequest { id: "other".to_owned(), pin: true };
    let mut events = models.load(request).await.unwrap().into_inner();
    while events.message().await.unwrap().is_some() {}
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    let one = |status: &StatusResponse| status.models.len() == 1;
    let status = daemon.until("the other one to end", one).await;
    assert!(status.models[0].pinned && status.models[0].path.ends_with("other.gguf"), "{status:?}");
    assert!(daemon.unload("other").await.unwrap());
    assert_eq!(daemon.status().await.models, []);
}

#[tokio::test]
async fn a_model_that_the_settings_pin_is_pinned_when_it_is_loaded() {
    let daemon = Setup::scripted(&Script::always(Life::answering(WORDS)))
        .config("[models]\nkeep_alive = \"10ms\"\npinned = [\"scripted\"]\n")
        .start()
        .await;
    assert_eq!(daemon.ask("hello").await.complete(), WORDS);
    assert!(daemon.status().await.models[0].pinned);
}

#[tokio::test]
async fn the_best_model_is_recommended_and_auto_takes_it() {
    let setup = Setup::scripted(&Script::always(Life::answering(WORDS)))
        .environment("TANDEM_MODELS__DEFAULT", "auto");
    let daemon = setup.start().await;
    let mut models = daemon.client().models();
    let request = RecommendRequest { include_absent: true, ..RecommendRequest::default() };
    let all = models.recommend(request).await.unwrap().into_inner().recommendations;
    assert!(all.len() > 3 && all.iter().all(|it| !it.reasons.is_empty()), "{all:?}");
    let suits: Vec<_> = all.iter().map(|it| it.suits).collect();
    assert!(suits.is_sorted_by(|one, next| one >= next), "{suits:?}");
    let here = models.recommend(RecommendRequest::default()).await.unwrap().into_inner();
    let [only] = &here.recommendations[..] else { panic!("{here:?}") };
    assert!(only.suits && only.model.as_ref().unwrap().path.ends_with("scripted.gguf"), "{only:?}");
    assert!(answered_by(&daemon.ask("hello").await).ends_with("scripted.gguf"));
    let wrong = RecommendRequest { ability: "juggle".to_owned(), ..RecommendRequest::default() };
    assert_eq!(models.recommend(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    let output = daemon.home().tandem(&["model", "recommend", "--all"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("tandem model pull "), "{text}");
}

#[tokio::test]
async fn an_experiment_compares_two_versions() {
    let settings = "[experiments.version.variants.control]\nweight = 1\n\
        [experiments.version.variants.old]\nweight = 1\nmodel = \"smol@1.0.0\"\n";
    let setup = Setup::scripted(&Script::always(Life::answering(WORDS)))
        .environment("TANDEM_MODELS__DEFAULT", "smol")
        .config(settings);
    for id in [OLD, NEW] {
        fs::write(setup.home().model(&format!("{id}.gguf")), gguf::tiny()).unwrap();
    }
    let daemon = setup.start().await;
    // A coin is tossed for each question.
    let mut seen = BTreeSet::new();
    for _ in 0..64 {
        let answer = daemon.ask("hello").await;
        seen.insert(answered_by(&answer).to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [OLD, NEW]);
}

#[tokio::test]
async fn a_default_model_of_new_settings_answers_once_it_is_loaded() {
    let daemon = real().await;
    let before = daemon.ask_with(short("Hello.")).await;
    assert_eq!(answered_by(&before), "smollm2-135m-instruct");
    daemon.home().configure("[models]\ndefault = \"smol\"\n");
    let mut admin = daemon.client().admin();
    soon("the reload", admin.reload(ReloadRequest {})).await.unwrap();
    let swapped = |status: &StatusResponse| {
        status.models.iter().any(|model| model.is_default && model.id == NEW)
    };
    daemon.until("the new default model to be in use", swapped).await;
    assert_eq!(answered_by(&daemon.ask_with(short("Hello.")).await), NEW);
}

#[tokio::test]
async fn a_default_model_of_new_settings_that_is_damaged_is_not_used() {
    let daemon = real().await;
    let whole = gguf::tiny();
    fs::write(daemon.home().model("cut.gguf"), &whole[..whole.len() / 2]).unwrap();
    daemon.home().configure("[models]\ndefault = \"cut\"\n");
    let mut admin = daemon.client().admin();
    soon("the reload", admin.reload(ReloadRequest {})).await.unwrap();
    let refused = Box::pin(async {
        while !daemon.log().contains("the new default model of the settings is not used") {
            daemon.status().await;
        }
    });
    soon("the new default model to be refused", refused).await;
    let answer = daemon.ask_with(short("Hello.")).await;
    assert_eq!(answered_by(&answer), "smollm2-135m-instruct");
    assert_eq!(answer.notices(NoticeKind::OtherModel), [""; 0]);
}

#[tokio::test]
async fn a_version_that_came_later_is_used_and_rolled_back_though_nobody_chose_before() {
    let setup = Setup::scripted(&Script::always(Life::answering(WORDS)))
        .environment("TANDEM_MODELS__DEFAULT", "smol");
    fs::write(setup.home().model(&format!("{OLD}.gguf")), gguf::tiny()).unwrap();
    let daemon = setup.start().await;
    assert_eq!(answered_by(&daemon.ask("one").await), OLD);
    fs::write(daemon.home().model(&format!("{NEW}.gguf")), gguf::tiny()).unwrap();
    assert_eq!(answered_by(&daemon.ask("two").await), OLD, "which is loaded");
    assert_eq!(use_model(&daemon, NEW).await.unwrap().id, NEW);
    assert_eq!(answered_by(&daemon.ask("three").await), NEW);
    assert_eq!(roll_back(&daemon, "smol").await.unwrap().id, OLD);
    assert_eq!(answered_by(&daemon.ask("four").await), OLD);
    // Case does not matter in names.
    assert_eq!(use_model(&daemon, "SMOL@1.1.0").await.unwrap().id, NEW);
    assert_eq!(answered_by(&daemon.ask("five").await), NEW);
}

#[tokio::test]
async fn a_model_is_used_by_its_name_in_the_version_that_came_later() {
    let setup = Setup::scripted(&Script::always(Life::answering(WORDS)))
        .environment("TANDEM_MODELS__DEFAULT", "smol");
    fs::write(setup.home().model(&format!("{OLD}.gguf")), gguf::tiny()).unwrap();
    let daemon = setup.start().await;
    assert_eq!(answered_by(&daemon.ask("one").await), OLD);
    fs::write(daemon.home().model(&format!("{NEW}.gguf")), gguf::tiny()).unwrap();
    assert_eq!(use_model(&daemon, "smol").await.unwrap().id, NEW);
    assert_eq!(answered_by(&daemon.ask("two").await), NEW);
}
