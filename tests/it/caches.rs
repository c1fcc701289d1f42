//! Embeddings and answers that were made before: when they are given again, and when not.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tandem_proto::v1::{
    AskRequest, CacheMatch, CacheStats, CacheStatsRequest, ClearCacheRequest, EmbedRequest,
    EmbedResponse, NoticeKind, Policy, Sampling, Track,
};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Answer, Daemon, Manner, RecordingApi, Setup, question, soon};

use crate::embedding::import;

const ON: &str = "[memory.response_cache]\nenabled = true\n";
const CANARY: &str = "the canary sings at midnight";

/// A question whose answer is no matter of chance.
fn certain(prompt: &str) -> AskRequest {
    let sampling = Sampling { temperature: Some(0.0), max_tokens: Some(24), ..Sampling::default() };
    AskRequest { sampling: Some(sampling), ..question(prompt) }
}

fn scripted() -> Setup {
    Setup::scripted(&Script::always(Life::answering(CANARY)))
}

/// Whether an answer came from the cache.
fn is_cached(answer: &Answer) -> bool {
    let cached = answer.done().unwrap().cached.is_some();
    assert_eq!(answer.notices(NoticeKind::Cached).len(), usize::from(cached), "{answer:?}");
    cached
}

/// How both caches are once everything is written.
async fn stats(daemon: &Daemon) -> [CacheStats; 2] {
    let mut cache = daemon.client().cache();
    let stats = soon("the caches", cache.stats(CacheStatsRequest {})).await.unwrap();
    stats.into_inner().caches.try_into().unwrap()
}

/// Asks and waits until what comes of it is written.
async fn ask(daemon: &Daemon, request: AskRequest) -> Answer {
    let answer = daemon.ask_with(request).await;
    answer.complete();
    stats(daemon).await;
    answer
}

fn generations(daemon: &Daemon) -> usize {
    daemon.home().logged("generate").len()
}

#[tokio::test]
async fn a_question_whose_answer_is_certain_is_answered_once_where_that_is_wanted() {
    let daemon = scripted().config(ON).start().await;
    let first = ask(&daemon, certain("why")).await;
    assert!(!is_cached(&first));
    let second = ask(&daemon, certain("why")).await;
    assert_eq!(second.complete(), CANARY);
    let done = second.done().unwrap();
    let cached = done.cached.unwrap();
    assert_eq!((cached.r#match(), cached.similarity), (CacheMatch::Exact, None));
    assert_eq!((done.track(), done.seed), (Track::Fast, None));
    let (old, new) = (first.track_done().unwrap(), second.track_done().unwrap());
    assert_eq!((&new.model, new.finish_reason), (&old.model, old.finish_reason));
    assert_eq!(new.usage.unwrap().completion_tokens, 0, "nothing was computed");
    assert_eq!(generations(&daemon), 1);

    let seeded = Sampling { seed: Some(7), ..Sampling::default() };
    let others = [
        AskRequest { no_cache: true, ..certain("why") },
        AskRequest { client: "another".to_owned(), ..certain("why") },
        AskRequest { system: Some("Be brief.".to_owned()), ..certain("why") },
        AskRequest { policy: Policy::Private.into(), ..certain("why") },
        AskRequest { sampling: Some(seeded), ..question("why") },
        certain("why?"),
        question("why"),
        question("why"),
    ];
    for (count, other) in (2..).zip(others) {
        assert!(!is_cached(&ask(&daemon, other.clone()).await), "{other:?}");
        assert_eq!(generations(&daemon), count);
    }
    let by_chance = || AskRequest { cache_sampled: true, ..question("by chance") };
    assert!(!is_cached(&ask(&daemon, by_chance()).await));
    assert!(is_cached(&ask(&daemon, by_chance()).await));
    let [_, answers] = stats(&daemon).await;
    assert_eq!((answers.entries, answers.hits, answers.semantic_hits), (7, 2, 0), "{answers:?}");
}

#[tokio::test]
async fn answers_are_on_no_disk_unless_the_settings_ask_for_it() {
    let daemon = scripted().start().await;
    for _ in 0..2 {
        let asked = AskRequest { cache_sampled: true, ..certain("why") };
        assert!(!is_cached(&ask(&daemon, asked).await));
    }
    assert!(!daemon.home().path().join("cache").exists());
    assert!(!daemon.home().path().join("store.key").exists());
    assert!(!stats(&daemon).await[1].enabled);
}

#[tokio::test]
async fn an_answer_outlives_the_daemon_and_its_words_are_in_no_file() {
    let mut daemon = scripted().config(ON).start().await;
    let asked = || certain("does the albatross snore");
    ask(&daemon, asked()).await;
    // Nobody has flushed anything.
    daemon.kill().await;
    daemon.restart().await;
    stats(&daemon).await;
    let answer = ask(&daemon, asked()).await;
    assert!(is_cached(&answer) && answer.complete() == CANARY);
    assert!(daemon.status().await.models.is_empty(), "no model was loaded for it");

    let mut files = Vec::new();
    collect(&daemon.home().path().join("cache"), &mut files);
    assert_eq!(files.len(), 1);
    for (path, bytes) in files {
        for word in ["canary", "midnight", "albatross"] {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{word} is in {}", path.display());
        }
    }

    // Another key finds nothing, and says why.
    daemon.kill().await;
    let key = daemon.home().path().join("store.key");
    fs::write(&key, "another key, which is as long as it has to be").unwrap();
    daemon.restart().await;
    let [_, answers] = stats(&daemon).await;
    assert!(answers.problem.contains("another key"), "{answers:?}");
    let output = daemon.home().tandem(&["status"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("problem: was written with another key"), "{text}");
    assert!(!is_cached(&ask(&daemon, asked()).await));
    assert!(is_cached(&ask(&daemon, asked()).await));

    let request = ClearCacheRequest { name: "answers".to_owned() };
    let cleared = daemon.client().cache().clear(request).await.unwrap().into_inner();
    assert!(cleared.bytes > 0);
    assert!(!is_cached(&ask(&daemon, asked()).await));
}

fn collect(folder: &Path, files: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test]
async fn a_cached_answer_of_a_provider_is_sent_and_paid_for_once() {
    let api = RecordingApi::start(Manner::Answer).await;
    let daemon = scripted().config(&format!("{ON}{}", api.provider())).start().await;
    let asked = || AskRequest { policy: Policy::Slow.into(), ..certain("why") };
    let first = ask(&daemon, asked()).await;
    assert!(!is_cached(&first) && first.track_done().unwrap().cost_micros > Some(0));
    let second = ask(&daemon, asked()).await;
    assert!(is_cached(&second));
    assert_eq!(second.complete(), first.complete());
    assert_eq!(second.track_done().unwrap().cost_micros, Some(0));
    assert_eq!(second.done().unwrap().track(), Track::Slow);
    assert_eq!(api.bodies().len(), 1);

    // It costs nothing, so it is there when nothing may be spent and the provider is down.
    api.behave(Manner::Failure);
    assert!(is_cached(&ask(&daemon, asked()).await));
    assert_eq!(api.bodies().len(), 1);
    // What stays on this machine is not answered by what left it.
    let fast = AskRequest { policy: Policy::Fast.into(), ..certain("why") };
    let fast = ask(&daemon, fast).await;
    assert!(!is_cached(&fast) && fast.complete() == CANARY);
}

#[tokio::test]
async fn what_was_answered_in_private_is_given_to_private_questions_alone() {
    let api = RecordingApi::start(Manner::Answer).await;
    let daemon = scripted().config(&format!("{ON}{}", api.provider())).start().await;
    let asked = |policy: Policy| AskRequest { policy: policy.into(), ..certain("a secret") };
    assert!(!is_cached(&ask(&daemon, asked(Policy::Private)).await));
    for policy in [Policy::Fast, Policy::Slow] {
        assert!(!is_cached(&ask(&daemon, asked(policy)).await), "{policy:?}");
    }
    assert!(is_cached(&ask(&daemon, asked(Policy::Private)).await));
    assert_eq!(api.bodies().len(), 1, "that of the policy slow");
}

#[tokio::test]
async fn in_a_conversation_an_answer_is_given_again_where_all_before_it_is_the_same() {
    let daemon = scripted().config(ON).start().await;
    let asked = |conversation: &str| AskRequest {
        conversation_id: conversation.to_owned(),
        ..certain("why")
    };
    let (one, other) = (daemon.conversation().await, daemon.conversation().await);
    assert!(!is_cached(&ask(&daemon, asked(&one)).await));
    assert!(!is_cached(&ask(&daemon, asked(&one)).await), "there is a turn before it now");
    let answer = ask(&daemon, asked(&other)).await;
    assert!(is_cached(&answer) && answer.done().unwrap().stored);
    assert!(is_cached(&ask(&daemon, asked(&other)).await));
    let turns = daemon.turns(&other).await;
    assert_eq!(turns, daemon.turns(&one).await);
    assert_eq!(generations(&daemon), 2);
}

#[tokio::test]
async fn the_command_shows_and_clears_the_caches() {
    let daemon = scripted().config(ON).start().await;
    let arguments = ["ask", "--json", "--temperature", "0", "why"];
    for cached in [Value::Null, "exact".into()] {
        let output = daemon.home().tandem(&arguments).await;
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["cached"]["match"], cached, "{json}");
        stats(&daemon).await;
    }
    let output = daemon.home().tandem(&["--json", "cache", "stats"]).await;
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["caches"][1]["name"], &json["caches"][1]["hits"]),
        (&"answers".into(), &1.into())
    );
    let output = daemon.home().tandem(&["cache", "clear"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stats(&daemon).await[1].entries, 0);
    let output = daemon.home().tandem(&["cache", "clear", "replies"]).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

async fn embed(daemon: &Daemon, texts: &[&str], normalize: Option<bool>) -> EmbedResponse {
    let texts = texts.iter().map(|&text| text.to_owned()).collect();
    let request = EmbedRequest { texts, normalize, ..EmbedRequest::default() };
    soon("embeddings", daemon.client().inference().embed(request)).await.unwrap().into_inner()
}

fn cached(response: &EmbedResponse) -> Vec<bool> {
    response.embeddings.iter().map(|embedding| embedding.cached).collect()
}

#[tokio::test]
async fn a_text_is_embedded_once_also_across_crashes_and_by_each_model_anew() {
    let mut daemon = Setup::real().start().await;
    import(&daemon, "minilm").await.unwrap();
    let first = embed(&daemon, &[CANARY, "another text"], None).await;
    assert_eq!(cached(&first), [false, false]);
    stats(&daemon).await;
    let second = embed(&daemon, &["a third one", CANARY], None).await;
    assert_eq!(cached(&second), [false, true]);
    assert_eq!(second.embeddings[1].values, first.embeddings[0].values);
    assert_eq!(cached(&embed(&daemon, &[CANARY], Some(false)).await), [false], "it is not scaled");
    stats(&daemon).await;

    daemon.kill().await;
    daemon.restart().await;
    stats(&daemon).await;
    let third = embed(&daemon, &["another text", "a third one", CANARY], None).await;
    assert_eq!(cached(&third), [true; 3]);
    assert_eq!(third.model, first.model);
    assert_eq!(third.embeddings[2].values, first.embeddings[0].values);
    let tokens: u32 = third.embeddings.iter().map(|embedding| embedding.tokens).sum();
    assert_eq!(third.usage.unwrap().prompt_tokens, tokens);
    assert!(daemon.status().await.models.is_empty(), "no model was loaded for it");

    // The same model in another file is another model: nobody looked whether it is the same.
    let file = daemon.home().model("minilm.gguf");
    let copy = daemon.home().path().join("models/copy");
    fs::copy(&file, &copy).unwrap();
    fs::rename(&copy, &file).unwrap();
    assert_eq!(cached(&embed(&daemon, &[CANARY], None).await), [false]);

    let mut files = Vec::new();
    collect(&daemon.home().path().join("cache"), &mut files);
    for (path, bytes) in files {
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", path.display());
    }
}

#[tokio::test]
async fn a_question_in_other_words_gets_the_answer_and_one_that_only_looks_alike_does_not() {
    let config = format!("{ON}similarity = 0.8\n");
    let daemon = Setup::real().config(&config).start().await;
    import(&daemon, "minilm").await.unwrap();
    // The model that compares is loaded, and the one that answers.
    embed(&daemon, &["nothing in particular"], None).await;
    let first = ask(&daemon, certain("What is the capital of France?")).await;
    assert!(!is_cached(&first));

    // The model that answers takes longer to load than a question to compare.
    assert!(daemon.unload("smollm2-135m-instruct").await.unwrap());
    let other_words = ask(&daemon, certain("Can you tell me the capital of France?")).await;
    let cached = other_words.done().unwrap().cached.unwrap();
    assert_eq!(cached.r#match(), CacheMatch::Semantic);
    assert!((0.8..=1.0).contains(&cached.similarity.unwrap()), "{cached:?}");
    assert_eq!(other_words.complete(), first.complete());
    for alike in [
        "What is the capital of Germany?",
        "What isn't the capital of France?",
        "What was the capital of France in 1940?",
    ] {
        assert!(!is_cached(&ask(&daemon, certain(alike)).await), "{alike}");
    }
    let anew = AskRequest { no_cache: true, ..certain("What's the capital of France?") };
    assert!(!is_cached(&ask(&daemon, anew).await));
    assert_eq!(stats(&daemon).await[1].semantic_hits, 1);
}

/// The similarities that the guard was judged with are those of the real model.
#[tokio::test]
async fn the_labelled_questions_are_as_similar_as_was_written_down() {
    let daemon = Setup::real().start().await;
    import(&daemon, "minilm").await.unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/questions.tsv");
    let file = fs::read_to_string(file).unwrap();
    let pairs: Vec<Vec<&str>> = file
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect())
        .collect();
    assert!(pairs.len() >= 200);
    let texts: Vec<&str> = pairs.iter().flat_map(|pair| [pair[2], pair[3]]).collect();
    let made = embed(&daemon, &texts, None).await.embeddings;
    for (pair, vectors) in pairs.iter().zip(made.chunks(2)) {
        let cosine: f32 =
            vectors[0].values.iter().zip(&vectors[1].values).map(|(a, b)| a * b).sum();
        let written: f32 = pair[1].parse().unwrap();
        assert!((cosine - written).abs() < 0.01, "{cosine} for {pair:?}");
    }
}
