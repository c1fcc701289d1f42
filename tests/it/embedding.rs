//! Embeddings: a real model, imported and compared with the library that it was made with.

use std::path::Path;

use serde_json::Value;
use tandem_proto::error as reason;
use tandem_proto::v1::import_model_event::Event as ImportEvent;
use tandem_proto::v1::{
    EmbedRequest, EmbedResponse, Embedding, GenerateRequest, ImportModelRequest, Model, ModelState,
    TokenizeRequest,
};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Failure, Home, Setup, question, soon};

const DIMENSIONS: usize = 384;
/// Tokens in front of a text and behind it.
const FRAME: [u32; 2] = [101, 102];

/// What the library says about one text.
struct Golden {
    text: String,
    tokens: Vec<u32>,
    truncated: bool,
    vector: Vec<f32>,
}

fn golden() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/minilm");
    let sentences = std::fs::read(folder.join("sentences.json")).unwrap();
    let sentences: Vec<Value> = serde_json::from_slice(&sentences).unwrap();
    let vectors = std::fs::read(folder.join("vectors.f32")).unwrap();
    assert_eq!(vectors.len(), sentences.len() * DIMENSIONS * 4);
    let numbers = |bytes: &[u8]| {
        let (numbers, _) = bytes.as_chunks::<4>();
        numbers.iter().map(|&number| f32::from_le_bytes(number)).collect()
    };
    let of = |(sentence, vector): (Value, &[u8])| Golden {
        text: sentence["text"].as_str().unwrap().to_owned(),
        tokens: serde_json::from_value(sentence["tokens"].clone()).unwrap(),
        truncated: sentence["truncated"].as_bool().unwrap(),
        vector: numbers(vector),
    };
    sentences.into_iter().zip(vectors.chunks(DIMENSIONS * 4)).map(of).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Imports the real model; its name, as the file's folder may be called anything.
pub(crate) async fn import(daemon: &Daemon, id: &str) -> Result<Model, Failure> {
    let path = Home::embedding_source().display().to_string();
    let request = ImportModelRequest { path, id: id.to_owned() };
    let mut events = daemon.client().models().import(request).await?.into_inner();
    let (mut imported, mut fraction) = (None, 0.0);
    while let Some(event) = soon("the import", events.message()).await? {
        match event.event.unwrap() {
            ImportEvent::Progress(progress) => {
                assert!(progress.fraction >= fraction, "{progress:?} after {fraction}");
                fraction = progress.fraction;
            }
            ImportEvent::Imported(model) => imported = Some(model),
        }
    }
    Ok(imported.unwrap())
}

async fn embed(daemon: &Daemon, request: EmbedRequest) -> Result<EmbedResponse, Failure> {
    Ok(soon("embeddings", daemon.client().inference().embed(request)).await?.into_inner())
}

fn request(texts: impl IntoIterator<Item = impl Into<String>>) -> EmbedRequest {
    let texts = texts.into_iter().map(Into::into).collect();
    EmbedRequest { texts, ..EmbedRequest::default() }
}

async fn with_model() -> Daemon {
    let daemon = Setup::real().start().await;
    import(&daemon, "minilm").await.unwrap();
    daemon
}

#[tokio::test]
async fn an_imported_model_embeds_as_the_library_that_it_was_made_with() {
    // Each text is to be computed each time.
    let daemon = Setup::real().config("[memory.embedding_cache]\nbytes_max = 0").start().await;
    let model = import(&daemon, "minilm").await.unwrap();
    assert_eq!((model.architecture.as_str(), model.quantization.as_str()), ("bert", "F16"));
    assert_eq!((model.embedding_dimensions as usize, model.context_trained), (DIMENSIONS, 512));
    assert_eq!(model.state(), ModelState::Available);

    let golden = golden();
    let made = embed(&daemon, request(golden.iter().map(|it| &it.text))).await.unwrap();
    assert!(made.model.ends_with("minilm.gguf"), "{}", made.model);
    let tokens: usize = golden.iter().map(|golden| golden.tokens.len()).sum();
    assert_eq!(made.usage.unwrap().prompt_tokens as usize, tokens);
    assert_eq!(made.embeddings.len(), golden.len());
    for (golden, made) in golden.iter().zip(&made.embeddings) {
        let close = cosine(&golden.vector, &made.values);
        assert!(close > 0.999, "{close} for {:?}", golden.text);
        let length: f64 = made.values.iter().map(|&value| f64::from(value).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
        assert_eq!(made.tokens as usize, golden.tokens.len(), "{:?}", golden.text);
        assert_eq!(made.truncated, golden.truncated, "{:?}", golden.text);
    }
    assert_tokens_are_those_of_the_library(&daemon, &golden).await;
    assert_a_text_is_embedded_alone_as_among_others(&daemon, &golden, &made.embeddings).await;
    assert_the_command_prints_the_same(&daemon, &golden, &made.embeddings).await;
    assert_eq!(daemon.engine().await.restarts, 0);
}

async fn assert_tokens_are_those_of_the_library(daemon: &Daemon, golden: &[Golden]) {
    for golden in golden {
        let request = TokenizeRequest {
            model: "minilm".to_owned(),
            text: golden.text.clone(),
            parse_special: true,
            add_special: false,
        };
        let tokens = daemon.client().inference().tokenize(request).await.unwrap().into_inner();
        let inner = golden.tokens.len() - FRAME.len();
        assert_eq!(golden.tokens[0], FRAME[0]);
        assert_eq!(golden.tokens[1..][..inner], tokens.tokens[..inner], "{:?}", golden.text);
        assert_eq!(tokens.tokens.len() > inner, golden.truncated, "{:?}", golden.text);
    }
}

async fn assert_a_text_is_embedded_alone_as_among_others(
    daemon: &Daemon,
    golden: &[Golden],
    among: &[Embedding],
) {
    for at in [0, 6, 40, 92, 99] {
        let alone = embed(daemon, request([&golden[at].text])).await.unwrap();
        let close = cosine(&alone.embeddings[0].values, &among[at].values);
        assert!(close > 0.9999, "{close} for {:?}", golden[at].text);
    }
    let raw = EmbedRequest { normalize: Some(false), ..request([&golden[6].text]) };
    let raw = &embed(daemon, raw).await.unwrap().embeddings[0].values;
    assert!(cosine(raw, &among[6].values) > 0.9999);
    let length: f32 = raw.iter().map(|value| value * value).sum();
    assert!((length - 1.0).abs() > 0.1, "{length} is not what the model makes");
}

async fn assert_the_command_prints_the_same(
    daemon: &Daemon,
    golden: &[Golden],
    made: &[Embedding],
) {
    let texts = [&*golden[6].text, &golden[7].text];
    let output = daemon.home().tandem(&["embed", texts[0], texts[1]]).await;
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let vectors: Vec<Vec<f32>> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(vectors.len(), 2);
    assert!(cosine(&vectors[0], &made[6].values) > 0.9999);
    assert!(cosine(&vectors[1], &made[7].values) > 0.9999);
    let output = daemon.home().tandem(&["--json", "embed", texts[0]]).await;
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["tokens"], made[6].tokens, "{json}");
    assert_eq!(json["truncated"], false, "{json}");
}

#[tokio::test]
async fn more_texts_than_an_engine_takes_at_once_are_embedded_in_order() {
    let daemon = with_model().await;
    let texts: Vec<String> = (0..700).map(|number| format!("number {}", number % 7)).collect();
    let made = embed(&daemon, request(&texts)).await.unwrap().embeddings;
    assert_eq!(made.len(), texts.len());
    for (at, embedding) in made.iter().enumerate() {
        assert!(cosine(&embedding.values, &made[at % 7].values) > 0.9999, "text {at}");
    }
    assert!(cosine(&made[0].values, &made[1].values) < 0.999);

    for texts in [Vec::new(), vec![String::new(); 2049], vec!["x".repeat(9 << 20)]] {
        let failure = embed(&daemon, request(texts)).await.unwrap_err();
        assert_eq!(failure.reason, reason::INVALID_ARGUMENT, "{failure:?}");
    }
}

#[tokio::test]
async fn a_model_does_what_it_is_made_for_and_says_so() {
    let daemon = with_model().await;
    let chat = EmbedRequest { model: "smollm2-135m-instruct".to_owned(), ..request(["a"]) };
    let failure = embed(&daemon, chat).await.unwrap_err();
    assert_eq!(failure.reason, reason::MODEL_UNSUITABLE, "{failure:?}");
    assert!(failure.message.contains("embedding model"), "{failure:?}");

    let request = GenerateRequest {
        model: "minilm".to_owned(),
        prompt: "Once".to_owned(),
        ..GenerateRequest::default()
    };
    let mut stream = daemon.client().inference().generate(request).await.unwrap().into_inner();
    let failure = Failure::from(soon("a refusal", stream.message()).await.unwrap_err());
    assert_eq!(failure.reason, reason::MODEL_UNSUITABLE, "{failure:?}");
    assert!(failure.message.contains("generates no text"), "{failure:?}");
    let request = tandem_proto::v1::AskRequest { model: "minilm".to_owned(), ..question("Hi") };
    let answer = daemon.ask_with(request).await;
    assert_eq!(answer.error.unwrap().reason, reason::MODEL_UNSUITABLE);
}

#[tokio::test]
async fn without_a_name_the_only_embedding_model_is_taken_or_the_choice_is_explained() {
    let daemon = Setup::real().start().await;
    let failure = embed(&daemon, request(["a"])).await.unwrap_err();
    assert_eq!(failure.reason, reason::EMBEDDING_MODEL_NOT_CHOSEN, "{failure:?}");
    assert!(failure.message.contains("tandem model import"), "{failure:?}");

    import(&daemon, "first").await.unwrap();
    assert!(embed(&daemon, request(["a"])).await.unwrap().model.contains("first"));
    let taken = import(&daemon, "first").await.unwrap_err();
    assert_eq!(taken.reason, reason::IMPORT_FAILED, "{taken:?}");

    import(&daemon, "second").await.unwrap();
    let failure = embed(&daemon, request(["a"])).await.unwrap_err();
    assert_eq!(failure.reason, reason::EMBEDDING_MODEL_NOT_CHOSEN, "{failure:?}");
    assert!(failure.message.contains("models.embedding"), "{failure:?}");
    let named = EmbedRequest { model: "second".to_owned(), ..request(["a"]) };
    assert!(embed(&daemon, named).await.unwrap().model.contains("second"));
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_the_work_of_the_engine() {
    let daemon = Setup::scripted(&Script::always(Life::answering("a b"))).start().await;
    let request = EmbedRequest { model: "scripted.gguf".to_owned(), ..request(["a"]) };
    let mut inference = daemon.client().inference();
    let call = tokio::spawn(async move { inference.embed(request).await });
    // Ids of questions count down from the top.
    daemon.home().until_logged(&format!("life 1 embed {}", u64::MAX)).await;
    call.abort();
    daemon.home().until_logged(&format!("life 1 cancel {}", u64::MAX)).await;
}

#[tokio::test]
async fn a_folder_that_is_no_model_is_refused_and_leaves_nothing() {
    let daemon = Setup::real().config("[models]\nembedding = \"absent\"\n").start().await;
    let folder = daemon.home().path().join("empty");
    std::fs::create_dir(&folder).unwrap();
    let before = std::fs::read_dir(daemon.home().path().join("models")).unwrap().count();
    let output = daemon.home().tandem(&["model", "import", "./empty"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("config.json"), "{said}");
    let after = std::fs::read_dir(daemon.home().path().join("models")).unwrap().count();
    assert_eq!(before, after);

    let failure = embed(&daemon, request(["a"])).await.unwrap_err();
    assert_eq!(failure.reason, reason::MODEL_NOT_FOUND, "{failure:?}");
}
