//! Bad input: each refused with its reason and what to do, while others are answered.

use std::fs;

use tandem_proto::error as reason;
use tandem_proto::v1::{
    AskRequest, ChatMessage, CreateConversationRequest, DeleteConversationRequest,
    DetokenizeRequest, GenerateRequest, GetConversationRequest, ListConversationsRequest,
    LogitBias, ModelInfoRequest, Policy, Role, Sampling, TokenizeRequest,
};
use tandem_tests::script::{Fate, Life, Script};
use tandem_tests::{Asking, Daemon, Failure, Setup, gguf, question, soon};
use tonic::Code;

const WORDS: &str = "not impressed at all";

/// A daemon that is in the middle of an answer while it is fed with nonsense.
struct Fed {
    daemon: Daemon,
    bystander: Asking,
    pid: u32,
}

impl Fed {
    async fn start() -> Self {
        let waits = Life::answering(WORDS).but_after(1, Fate::Wait);
        let daemon = Setup::scripted(&Script::always(waits)).start().await;
        let mut bystander = daemon.begin(question("bystander")).await;
        bystander.until_text(1).await;
        let pid = daemon.engine().await.pid;
        Self { daemon, bystander, pid }
    }

    /// Asks something that must be refused.
    async fn refused(&self, request: AskRequest) -> Failure {
        self.daemon.ask_with(request).await.failure().clone()
    }

    /// Checks that nobody was harmed.
    async fn finish(self) {
        self.daemon.home().release();
        assert_eq!(self.bystander.finish().await.complete(), WORDS);
        assert_eq!(self.daemon.ask("and again").await.complete(), WORDS);
        let status = self.daemon.status().await;
        assert_eq!(status.pid, self.daemon.pid());
        let restarts = |actors: &[tandem_proto::v1::ActorStatus]| {
            actors.iter().map(|actor| actor.restarts).sum::<u32>()
        };
        assert_eq!(restarts(&status.tree.unwrap().children), 0, "no actor failed");
        let engines: Vec<_> = status.models.into_iter().filter_map(|model| model.engine).collect();
        assert_eq!(engines.len(), 1, "{engines:?}");
        assert_eq!((engines[0].pid, engines[0].restarts), (self.pid, 0));
    }
}

fn assert_invalid(failure: &Failure, field: &str, says: &str) {
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::InvalidArgument, reason::INVALID_ARGUMENT),
        "{failure:?}"
    );
    assert_eq!(failure.fields, [field]);
    assert!(failure.message.contains(says), "{says:?} in {failure:?}");
    assert_eq!(failure.retry_after, None);
}

#[tokio::test]
async fn files_that_are_no_models_are_refused_with_what_is_wrong_with_them() {
    let fed = Fed::start().await;
    let whole = gguf::tiny();
    let mut newer = whole.clone();
    newer[4] = 77;
    let mut endless = whole.clone();
    endless[8..16].fill(0xff);
    for (name, bytes, says) in [
        ("letter.gguf", b"Dear Sir or Madam".to_vec(), "not a GGUF file"),
        ("empty.gguf", Vec::new(), "not a GGUF file"),
        ("cut.gguf", whole[..whole.len() - 1].to_vec(), "truncated"),
        ("stub.gguf", whole[..40].to_vec(), "truncated"),
        ("lying.gguf", gguf::claiming(1 << 40), "truncated"),
        ("absurd.gguf", gguf::claiming(u64::MAX), "larger than any machine"),
        ("endless.gguf", endless, "damaged or hostile"),
        ("newer.gguf", newer, "version 77"),
    ] {
        fs::write(fed.daemon.home().model(name), bytes).unwrap();
        let failure = fed.refused(AskRequest { model: name.to_owned(), ..question("hi") }).await;
        assert_eq!(
            (failure.code, failure.reason.as_str()),
            (Code::FailedPrecondition, reason::MODEL_INVALID),
            "{name}: {failure:?}"
        );
        assert!(failure.message.contains(says), "{name}: {says:?} in {failure:?}");
        assert!(failure.message.contains(name), "{failure:?}");
    }
    fed.finish().await;
}

#[tokio::test]
async fn unknown_models_are_refused_with_the_known_ones() {
    let fed = Fed::start().await;
    let long = "m".repeat(4096);
    let strange = "\u{1f980}\n\r".repeat(500);
    for name in ["gpt-9", "../../etc/passwd", "/nowhere/model.gguf", &long, &strange] {
        let failure = fed.refused(AskRequest { model: name.to_owned(), ..question("hi") }).await;
        assert_eq!(
            (failure.code, failure.reason.as_str()),
            (Code::NotFound, reason::MODEL_NOT_FOUND),
            "{failure:?}"
        );
        assert!(failure.message.contains("scripted.gguf"), "{failure:?}");

        let request = ModelInfoRequest { id: name.to_owned() };
        let info = fed.daemon.client().models().info(request).await.unwrap_err();
        assert_eq!(Failure::from(info), failure);
    }
    let absent = AskRequest { model: "smollm2-135m-instruct".to_owned(), ..question("hi") };
    let failure = fed.refused(absent).await;
    assert_eq!(failure.reason, reason::MODEL_NOT_FOUND);
    let expected = fed.daemon.home().model("SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(failure.message.contains(&expected.display().to_string()), "{failure:?}");

    let nul = fed.refused(AskRequest { model: "a\0b".to_owned(), ..question("hi") }).await;
    assert_invalid(&nul, "model", "");
    let endless = AskRequest { model: "m".repeat(1 << 20), ..question("hi") };
    assert_invalid(&fed.refused(endless).await, "model", "4096");
    fed.finish().await;
}

#[tokio::test]
async fn prompts_that_are_empty_or_too_long_are_refused() {
    let fed = Fed::start().await;
    for nothing in ["", " ", "\n\t "] {
        assert_invalid(&fed.refused(question(nothing)).await, "prompt", "write a question");
    }
    let long = "word ".repeat(2 << 20);
    assert_invalid(&fed.refused(question(&long)).await, "prompt", "at most 1048576");
    let system = AskRequest { system: Some(long.clone()), ..question("hi") };
    assert_invalid(&fed.refused(system).await, "system", "at most 1048576");

    // Allowed by its bytes, and more tokens than any context here has.
    let failure = fed.refused(question(&"word ".repeat(100_000))).await;
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (Code::InvalidArgument, reason::PROMPT_TOO_LONG),
        "{failure:?}"
    );
    assert!(failure.message.contains("shorten the prompt"), "{failure:?}");
    fed.finish().await;
}

#[tokio::test]
async fn a_message_larger_than_any_request_is_refused_by_the_server() {
    let fed = Fed::start().await;
    let failure = fed.refused(question(&"x".repeat(17 << 20))).await;
    assert_eq!(failure.code, Code::OutOfRange, "{failure:?}");
    fed.finish().await;
}

/// Bad values of each field.
fn bad_samplings() -> Vec<(&'static str, Sampling)> {
    let default = Sampling::default;
    let bias = |bias| vec![LogitBias { token: 1, bias }];
    vec![
        ("temperature", Sampling { temperature: Some(-0.1), ..default() }),
        ("temperature", Sampling { temperature: Some(f32::NAN), ..default() }),
        ("top_p", Sampling { top_p: Some(0.0), ..default() }),
        ("top_p", Sampling { top_p: Some(1.5), ..default() }),
        ("min_p", Sampling { min_p: Some(f32::INFINITY), ..default() }),
        ("typical_p", Sampling { typical_p: Some(0.0), ..default() }),
        ("repeat_penalty", Sampling { repeat_penalty: Some(0.0), ..default() }),
        ("presence_penalty", Sampling { presence_penalty: Some(11.0), ..default() }),
        ("frequency_penalty", Sampling { frequency_penalty: Some(-11.0), ..default() }),
        ("top_k", Sampling { top_k: Some(1_000_001), ..default() }),
        ("repeat_last_n", Sampling { repeat_last_n: Some(4097), ..default() }),
        ("max_tokens", Sampling { max_tokens: Some(0), ..default() }),
        ("max_tokens", Sampling { max_tokens: Some(u32::MAX), ..default() }),
        ("logprobs", Sampling { logprobs: Some(21), ..default() }),
        ("stop", Sampling { stop: vec!["x".to_owned(); 17], ..default() }),
        ("stop", Sampling { stop: vec![String::new()], ..default() }),
        ("stop", Sampling { stop: vec!["x".repeat(257)], ..default() }),
        ("logit_bias.bias", Sampling { logit_bias: bias(101.0), ..default() }),
        ("logit_bias.bias", Sampling { logit_bias: bias(f32::NAN), ..default() }),
        ("logit_bias", Sampling { logit_bias: bias(1.0).repeat(1025), ..default() }),
    ]
}

#[tokio::test]
async fn sampling_values_out_of_range_are_refused_with_the_range() {
    let fed = Fed::start().await;
    for (name, sampling) in bad_samplings() {
        let field = format!("sampling.{name}");
        let sampling = Some(sampling);
        let request = AskRequest { sampling: sampling.clone(), ..question("hi") };
        assert_invalid(&fed.refused(request).await, &field, "allowed");

        let prompt = "hi".to_owned();
        let request = GenerateRequest { prompt, sampling, ..GenerateRequest::default() };
        let status = fed.daemon.client().inference().generate(request).await.unwrap_err();
        assert_invalid(&status.into(), &field, "allowed");
    }
    fed.finish().await;
}

#[tokio::test]
async fn policies_and_priorities_of_a_later_version_are_refused_and_not_guessed() {
    let fed = Fed::start().await;
    let policy = AskRequest { policy: 99, ..question("hi") };
    assert_invalid(&fed.refused(policy).await, "policy", "not known");
    let priority = AskRequest { priority: 99, ..question("hi") };
    assert_invalid(&fed.refused(priority).await, "priority", "not known");
    fed.finish().await;
}

#[tokio::test]
async fn unknown_conversations_are_refused_however_they_are_written() {
    let fed = Fed::start().await;
    let mut conversations = fed.daemon.client().conversations();
    let long = "c".repeat(1 << 20);
    for id in
        ["nonsense", "01890a5d-ac96-774b-bcce-b302099a8057", "a\0b", "\u{1f980}\r\n", &long, "../x"]
    {
        let id = id.to_owned();
        let mut failures = vec![
            fed.refused(AskRequest { conversation_id: id.clone(), ..question("hi") }).await,
            conversations.get(GetConversationRequest { id: id.clone() }).await.unwrap_err().into(),
        ];
        let deleted = conversations.delete(DeleteConversationRequest { id: id.clone() });
        failures.push(deleted.await.unwrap_err().into());
        for failure in failures {
            let head: String = id.chars().take(50).collect();
            assert_eq!(
                (failure.code, failure.reason.as_str()),
                (Code::NotFound, reason::CONVERSATION_NOT_FOUND),
                "{head}: {failure:?}"
            );
            assert!(failure.message.contains("tandem conversation list"), "{head}");
        }
    }
    fed.finish().await;
}

#[tokio::test]
async fn conversations_are_neither_created_nor_listed_with_nonsense() {
    let fed = Fed::start().await;
    let mut conversations = fed.daemon.client().conversations();
    let title = "t".repeat(201);
    let status = conversations.create(CreateConversationRequest { title, ..Default::default() }).await.unwrap_err();
    assert_invalid(&status.into(), "title", "200");
    let page = ListConversationsRequest { page_size: 1001, ..ListConversationsRequest::default() };
    let status = conversations.list(page).await.unwrap_err();
    assert_invalid(&status.into(), "page_size", "1000");
    let page_token = "not a token".to_owned();
    let page = ListConversationsRequest { page_token, ..ListConversationsRequest::default() };
    let status = conversations.list(page).await.unwrap_err();
    assert_invalid(&status.into(), "page_token", "leave it empty");
    fed.finish().await;
}

#[tokio::test]
async fn providers_that_are_not_configured_are_refused() {
    let fed = Fed::start().await;
    let long = "\u{e9}".repeat(2048);
    for provider in ["", "nobody", "a\0b", &long] {
        let policy = Policy::Slow.into();
        let request = AskRequest { policy, provider: provider.to_owned(), ..question("hi") };
        let failure = fed.refused(request).await;
        assert_eq!(
            (failure.code, failure.reason.as_str()),
            (Code::FailedPrecondition, reason::PROVIDER_NOT_CONFIGURED),
            "{failure:?}"
        );
        assert!(failure.message.contains("[providers.NAME]"), "{failure:?}");
    }
    fed.finish().await;
}

#[tokio::test]
async fn generations_without_or_with_two_prompts_are_refused() {
    let fed = Fed::start().await;
    let mut inference = fed.daemon.client().inference();
    let status = inference.generate(GenerateRequest::default()).await.unwrap_err();
    assert_invalid(&status.into(), "prompt", "give a prompt or messages");
    let content = "hi".to_owned();
    let both = GenerateRequest {
        prompt: content.clone(),
        messages: vec![ChatMessage { role: Role::User.into(), content }],
        ..GenerateRequest::default()
    };
    let status = inference.generate(both).await.unwrap_err();
    assert_invalid(&status.into(), "messages", "one of them");
    let text = "x".repeat(2 << 20);
    let request = TokenizeRequest { text, ..TokenizeRequest::default() };
    let status = inference.tokenize(request).await.unwrap_err();
    assert_invalid(&status.into(), "text", "at most 1048576");
    let request = DetokenizeRequest { model: "gpt-9".to_owned(), tokens: vec![1] };
    let status = soon("a refusal", inference.detokenize(request)).await.unwrap_err();
    assert_eq!(Failure::from(status).reason, reason::MODEL_NOT_FOUND);
    fed.finish().await;
}

#[tokio::test]
async fn a_command_that_is_refused_says_why_and_what_to_do() {
    let fed = Fed::start().await;
    let output = fed.daemon.home().tandem(&["ask", "--temperature", "9", "hi"]).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("sampling.temperature") && stderr.contains("0 to 5"), "{stderr}");
    assert_eq!(output.stdout, b"");

    let output = fed.daemon.home().tandem(&["--json", "ask", "--model", "gpt-9", "hi"]).await;
    assert_eq!(output.status.code(), Some(1));
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["reason"], reason::MODEL_NOT_FOUND, "{error}");
    fed.finish().await;
}
