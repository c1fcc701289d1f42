#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::Error;

const BLAME: Blame<'static> = Blame { provider: "far", secret: None, key: None };

/// The pieces of a stream whose events are a second apart, and what is known after it.
fn stream(events: &[&str]) -> Result<(Vec<Piece>, Answer, Instant)> {
    let mut now = Instant::now();
    let mut answer = Answer::new(Dialect::OpenAi, "turn", now);
    let mut pieces = Vec::new();
    for event in events {
        now += Duration::from_secs(1);
        pieces.push(answer.chunk(event, &BLAME, now)?);
    }
    Ok((pieces, answer, now))
}

fn text_of(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| piece.text.as_str()).collect()
}

#[test]
fn a_stream_becomes_text_usage_and_timings() {
    let (pieces, answer, now) = stream(&[
        r#"{"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":""},
            "finish_reason":null}]}"#,
        r#"{"choices":[{"delta":{"content":"Hel"}}],"usage":null}"#,
        r#"{"choices":[{"delta":{"content":"lo"},"x_extra":[1]}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,
            "prompt_tokens_details":{"cached_tokens":2}}}"#,
        " [DONE] ",
    ])
    .unwrap();
    assert_eq!(text_of(&pieces), "Hello");
    assert!(!pieces[0].token, "a role is no token");
    assert!(answer.is_over());
    let completion = answer.completion(now);
    assert_eq!(completion.finish_reason, FinishReason::Length);
    let usage =
        Usage { prompt_tokens: 9, cached_tokens: 2, completion_tokens: 4, ..Usage::default() };
    assert_eq!(completion.usage, usage);
    let timings = Timings {
        time_to_first_token_us: 2_000_000,
        prefill_us: 0,
        decode_us: 1_000_000,
        total_us: 6_000_000,
        tokens_per_second: 4.0,
    };
    assert_eq!(completion.timings, timings);
    assert_eq!(completion.mean_logprob, None);
}

#[test]
fn without_usage_nothing_is_made_up() {
    let (_, answer, now) = stream(&[
        r#"{"choices":[{"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
    ])
    .unwrap();
    let completion = answer.completion(now);
    assert_eq!(completion.usage, Usage::default());
    assert!(completion.timings.tokens_per_second.abs() < f64::EPSILON);
}

#[test]
fn either_a_finish_reason_or_done_completes_an_answer() {
    let text = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
    let finish = r#"{"choices":[{"delta":null,"finish_reason":"stop"}]}"#;
    for (events, complete) in [
        (vec![text], false),
        (vec![text, finish], true),
        (vec![text, "[DONE]"], true),
        (vec!["", r#"{"choices":null}"#], false),
    ] {
        let (_, answer, _) = stream(&events).unwrap();
        assert_eq!(answer.is_complete(), complete, "{events:?}");
    }
}

#[test]
fn thoughts_are_progress_and_no_text() {
    for event in [
        r#"{"choices":[{"delta":{"content":null,"reasoning_content":"hm"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"hm","reasoning_content":"hm"}}]}"#,
    ] {
        let (pieces, ..) = stream(&[event]).unwrap();
        assert_eq!(pieces, [Piece { reasoning: "hm".into(), token: true, ..Piece::default() }]);
    }
}

#[test]
fn logprobs_are_passed_on_with_their_alternatives_and_averaged() {
    let (pieces, answer, now) = stream(&[
        r#"{"choices":[{"delta":{"content":"é"},"logprobs":{"content":[
            {"token":"\\xc3","bytes":[195],"logprob":-1.0,
             "top_logprobs":[{"token":"\\xc3","bytes":[195],"logprob":-1.0},
                             {"id":7,"token":"e","bytes":null,"logprob":-2.0}]},
            {"token":"\\xa9","bytes":[169],"logprob":-2.0}]}}]}"#,
        r#"{"choices":[{"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#,
    ])
    .unwrap();
    let (first, second) = (&pieces[0].logprobs[0], &pieces[0].logprobs[1]);
    assert_eq!((first.bytes.as_slice(), second.bytes.as_slice()), (&[195][..], &[169][..]));
    assert_eq!(first.alternatives[1].bytes, b"e");
    assert_eq!(first.alternatives[1].token, 7);
    assert_eq!(answer.completion(now).mean_logprob, Some(-1.5));
}

#[test]
fn an_error_in_the_stream_is_reported_in_the_apis_words() {
    for event in [
        r#"{"error":{"message":"out of\nGPUs","code":500}}"#,
        r#"{"choices":[],"error":"out of GPUs"}"#,
    ] {
        let error = stream(&[event]).unwrap_err();
        assert_eq!(error.to_string(), "provider \"far\" failed: it reports: out of GPUs");
    }
}

#[test]
fn what_is_no_chat_completion_is_refused_without_quoting_it() {
    for event in
        ["{", "<html>", "7", r#"{"choices":"secret"}"#, r#"{"choices":[{"delta":"secret"}]}"#]
    {
        let error = stream(&[event]).unwrap_err();
        let expected = "provider \"far\" failed: it sent something that is not a chat completion";
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_content_filter_is_a_refusal() {
    let error = stream(&[r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#]);
    assert!(matches!(error.unwrap_err(), Error::ProviderRefused { .. }));
}

#[test]
fn an_answer_without_end_is_refused() {
    let piece = format!(r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(1 << 19));
    assert!(stream(&vec![piece.as_str(); 16]).is_ok());
    let error = stream(&vec![piece.as_str(); 17]).unwrap_err();
    assert!(error.to_string().contains("longer than 8 MiB"), "{error}");
}

#[test]
fn an_answer_that_was_not_streamed_is_understood() {
    let now = Instant::now();
    let mut answer = Answer::new(Dialect::OpenAi, "turn", now);
    let body = br#"{"choices":[{"message":{"role":"assistant","content":"Hello"},
        "finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let piece = answer.whole(body, &BLAME, now).unwrap();
    assert_eq!(piece.text, "Hello");
    assert!(answer.is_complete());
    assert_eq!(answer.completion(now).usage.completion_tokens, 2);
}

#[test]
fn json_without_an_answer_is_refused() {
    let now = Instant::now();
    let error = Answer::new(Dialect::OpenAi, "turn", now).whole(b"{}", &BLAME, now).unwrap_err();
    assert!(error.to_string().contains("check providers.far.base_url"), "{error}");
}
