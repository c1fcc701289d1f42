//! Two dialects, tools and pictures, with llama.cpp's own server as the remote API of both.

use tandem_proto::error as reason;
use tandem_proto::v1::ask_event::Event;
use tandem_proto::v1::{
    AskRequest, FinishReason, GetConversationRequest, Image, NoticeKind, Policy, Sampling, Tool,
    ToolCall, ToolChoice, ToolResult, Track,
};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Answer, LlamaServer, Setup, question};
use tonic::Code;

const LOCAL: &str = "the local model has spoken";
const WEATHER: &str =
    r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
/// What a small model repeats, in the words of its template.
const CALL: &str = "Say exactly this and nothing else:\n<tool_call>\n\
    {\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>";

fn ask(provider: &str, prompt: &str, max_tokens: u32) -> AskRequest {
    let sampling =
        Sampling { temperature: Some(0.0), max_tokens: Some(max_tokens), ..Sampling::default() };
    AskRequest {
        policy: Policy::Slow.into(),
        provider: provider.to_owned(),
        sampling: Some(sampling),
        ..question(prompt)
    }
}

fn weather() -> Tool {
    Tool {
        name: "get_weather".to_owned(),
        description: "The weather in a city.".to_owned(),
        parameters: WEATHER.to_owned(),
    }
}

fn calls(answer: &Answer) -> Vec<ToolCall> {
    let call = |event: &Event| match event {
        Event::ToolCall(call) => Some(call.clone()),
        _ => None,
    };
    answer.events.iter().filter_map(call).collect()
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_read_in_both_dialects() {
    let server = LlamaServer::start_with_tools().await;
    let config = format!("{}{}", server.provider(), server.claude());
    let script = Script::always(Life::answering(LOCAL));
    let daemon = Setup::scripted(&script).config(&config).start().await;
    for provider in ["remote", "claude"] {
        let answer = daemon.ask_with(ask(provider, "What is the capital of France?", 12)).await;
        assert_eq!(answer.routed().unwrap().track(), Track::Slow);
        let usage = answer.track_done().unwrap().usage.unwrap();
        assert!(!answer.complete().is_empty() && usage.prompt_tokens > 10, "{answer:?}");
        assert!((1..=12).contains(&usage.completion_tokens), "{usage:?}");

        let conversation_id = daemon.conversation().await;
        let with_tools = |prompt| AskRequest {
            conversation_id: conversation_id.clone(),
            tools: vec![weather()],
            tool_choice: ToolChoice::Required.into(),
            ..ask(provider, prompt, 80)
        };
        let answer = daemon.ask_with(with_tools(CALL)).await;
        answer.complete();
        let calls = calls(&answer);
        assert_eq!(calls.len(), 1, "{answer:?}");
        assert_eq!(calls[0].name, "get_weather");
        let arguments: serde_json::Value = serde_json::from_str(&calls[0].arguments).unwrap();
        assert_eq!(arguments, serde_json::json!({"city": "Paris"}));
        assert_eq!(answer.track_done().unwrap().finish_reason(), FinishReason::ToolCalls);

        let result =
            |id: &str| ToolResult { tool_call_id: id.to_owned(), content: "18 °C".into() };
        let plain = AskRequest { tool_choice: ToolChoice::Unspecified.into(), ..with_tools("") };
        let wrong = AskRequest { tool_results: vec![result("x")], ..plain.clone() };
        let failure = daemon.ask_with(wrong).await;
        assert_eq!(failure.failure().reason, reason::INVALID_ARGUMENT, "{failure:?}");
        let right = AskRequest { tool_results: vec![result(&calls[0].id)], ..plain.clone() };
        let answer = daemon.ask_with(right).await;
        let read = answer.track_done().unwrap().usage.unwrap().prompt_tokens;
        assert!(!answer.complete().is_empty() || !self::calls(&answer).is_empty(), "{answer:?}");
        assert!(read > usage.prompt_tokens, "{answer:?}");

        // The calls are part of what later turns read, whoever answers.
        let next = AskRequest { prompt: "And tomorrow?".to_owned(), ..plain };
        daemon.ask_with(next.clone()).await.complete();
        let fast = AskRequest { policy: Policy::Fast.into(), tools: vec![], ..next };
        let fast = AskRequest { provider: String::new(), ..fast };
        assert_eq!(daemon.ask_with(fast).await.complete(), LOCAL);

        let request = GetConversationRequest { id: conversation_id.clone() };
        let turns = daemon.client().conversations().get(request).await.unwrap().into_inner().turns;
        assert_eq!(turns.len(), 4, "what was refused is not stored");
        assert_eq!(turns[0].tool_calls, calls);
        assert_eq!(turns[1].tool_results, [result(&calls[0].id)]);
    }
}

#[tokio::test]
async fn the_local_model_leaves_pictures_and_tools_to_those_who_can() {
    let server = LlamaServer::start_with_tools().await;
    let config = format!("{}abilities = [\"tools\"]\n{}", server.provider(), server.claude());
    let script = Script::always(Life::answering(LOCAL));
    let daemon = Setup::scripted(&script).config(&config).start().await;
    let picture = Image { data: b"\x89PNG\r\n\x1a\n".to_vec() };
    let looking = |policy: Policy, provider: &str| AskRequest {
        policy: policy.into(),
        images: vec![picture.clone()],
        ..ask(provider, "What is this?", 12)
    };

    let refused = daemon.ask_with(looking(Policy::Private, "")).await;
    let failure = refused.failure();
    let code = (failure.code, failure.reason.as_str());
    assert_eq!(code, (Code::FailedPrecondition, reason::NOT_SUPPORTED));
    assert!(failure.message.contains("cannot look at pictures"), "{failure:?}");
    assert!(failure.message.contains("\"claude\" can"), "{failure:?}");

    let unable = daemon.ask_with(looking(Policy::Slow, "remote")).await;
    assert_eq!(unable.failure().reason, reason::PROVIDER_REFUSED);
    assert!(unable.failure().message.contains("providers.remote.abilities"), "{unable:?}");

    // It gets there, and the server says that its model has no eyes.
    let blind = daemon.ask_with(looking(Policy::Slow, "claude")).await;
    assert_eq!(blind.failure().reason, reason::PROVIDER_FAILED);
    assert!(blind.failure().message.contains("image input is not supported"), "{blind:?}");

    let tools =
        AskRequest { policy: Policy::Auto.into(), tools: vec![weather()], ..ask("", CALL, 80) };
    let answer = daemon.ask_with(tools).await;
    answer.complete();
    assert_eq!(answer.done().unwrap().track(), Track::Slow, "{answer:?}");
    assert_eq!(calls(&answer).len(), 1, "{answer:?}");
    assert!(answer.notices(NoticeKind::FellBack).len() <= 1, "{answer:?}");
}

#[tokio::test]
async fn the_command_offers_tools_and_prints_calls() {
    let server = LlamaServer::start_with_tools().await;
    let script = Script::always(Life::answering(LOCAL));
    let daemon = Setup::scripted(&script).config(&server.provider()).start().await;
    let file = daemon.home().path().join("tools.json");
    let tools = format!(r#"[{{"name":"get_weather","parameters":{WEATHER}}}]"#);
    std::fs::write(&file, tools).unwrap();
    let conversation = daemon.conversation().await;
    let ask = |conversation: &str, more: &'static [&'static str]| {
        let tools = file.to_str().unwrap();
        let mut arguments =
            vec!["ask", "--policy", "slow", "--temperature", "0", "--max-tokens", "80"];
        arguments.extend(["--tools", tools, "--conversation", conversation]);
        arguments.extend(more);
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let home = daemon.home();
        async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            home.tandem(&arguments).await
        }
    };
    let output = ask(&conversation, &["--json", "--tool-choice", "required", CALL]).await;
    assert!(output.status.success(), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["tool_calls"][0]["name"], "get_weather", "{json}");
    assert_eq!(json["tool_calls"][0]["arguments"]["city"], "Paris", "{json}");
    assert_eq!(json["finish_reason"], "tool_calls", "{json}");

    let output = ask(&conversation, &["--tool-result", "unknown=18"]).await;
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(json["tool_calls"][0]["id"].as_str().unwrap()), "{told}");

    // Not behind the call above, which the model would imitate.
    let fresh = daemon.conversation().await;
    let output = ask(&fresh, &["--tool-choice", "required", CALL]).await;
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains(" get_weather {"), "{shown}");
}
