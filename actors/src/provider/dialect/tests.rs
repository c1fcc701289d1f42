//! All dialects by the files of `tests/golden`, whose shapes are those that the APIs' own libraries
//! read and write.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;
use tandem_proto::v1::ToolCall;

use super::*;
use crate::provider::answer::{Answer, Piece};

mod requests;

const BLAME: Blame<'static> = Blame { provider: "far", secret: None, key: None };
const ALL: [(Dialect, &str); 3] =
    [(Dialect::OpenAi, "openai"), (Dialect::Anthropic, "anthropic"), (Dialect::Ollama, "ollama")];

/// The files of a dialect: name and content, in order.
fn golden(dialect: &str, suffix: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(dialect);
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.to_string_lossy().ends_with(suffix)).collect();
    files.sort();
    let name = |file: &PathBuf| file.file_stem().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|file| (name(file), fs::read(file).unwrap())).collect()
}

fn streams(dialect: Dialect, name: &str) -> Vec<(String, Vec<u8>)> {
    golden(name, if dialect == Dialect::Ollama { ".ndjson" } else { ".sse" })
}

/// What a caller hears of an answer, and its end.
#[derive(Default)]
struct Heard {
    text: String,
    reasoning: String,
    calls: Vec<ToolCall>,
}

impl Heard {
    fn hear(&mut self, piece: Piece) {
        self.text.push_str(&piece.text);
        self.reasoning.push_str(&piece.reasoning);
        self.calls.extend(piece.calls);
    }

    fn told(&self, outcome: Result<Answer>) -> String {
        let mut told = String::new();
        for (what, words) in [("thought", &self.reasoning), ("said", &self.text)] {
            if !words.is_empty() {
                let _ = write!(told, "{what} {words:?}; ");
            }
        }
        for ToolCall { id, name, arguments } in &self.calls {
            let _ = write!(told, "called {name} as {id} with {arguments}; ");
        }
        let end = match outcome {
            Ok(answer) if answer.is_complete() => {
                let completion = answer.completion(Instant::now());
                let Usage { prompt_tokens, cached_tokens, completion_tokens, .. } =
                    completion.usage;
                let reason = completion.finish_reason.as_str_name();
                format!("{reason} {prompt_tokens}/{cached_tokens}/{completion_tokens}")
            }
            Ok(_) => "CUT".to_owned(),
            Err(Error::ProviderFailed { problem, .. }) => format!("FAILED {problem}"),
            Err(Error::ProviderRefused { problem, .. }) => format!("REFUSED {problem}"),
            Err(other) => panic!("{other:?}"),
        };
        told + &end
    }
}

/// Reads a stream that arrives in these pieces.
fn read<'a>(dialect: Dialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut heard = Heard::default();
    let mut answer = Answer::new(dialect, "turn", Instant::now());
    let mut frames = dialect.frames();
    let all = || {
        for piece in pieces {
            frames.push(piece).map_err(|fault| BLAME.failed(fault.to_string()))?;
            while let Some(event) = frames.next_event() {
                heard.hear(answer.chunk(&event, &BLAME, Instant::now())?);
            }
        }
        Ok(())
    };
    let outcome = all();
    heard.told(outcome.map(|()| answer))
}

fn read_whole(dialect: Dialect, body: &[u8]) -> String {
    let mut heard = Heard::default();
    let mut answer = Answer::new(dialect, "turn", Instant::now());
    let outcome = answer.whole(body, &BLAME, Instant::now()).map(|piece| heard.hear(piece));
    heard.told(outcome.map(|()| answer))
}

#[test]
fn recorded_streams_are_understood() {
    let hello = "said \"Grüße, 世界 🌍!\"; FINISH_REASON_STOP";
    let thought = "thought \"A simple question.\"; said \"42\"; ";
    let cut = "REFUSED its answer was cut off in the middle of a tool call; raise max_tokens";
    let no_object = "FAILED it called a tool with arguments that are no JSON object";
    let expected = [
        (
            Dialect::OpenAi,
            vec![
                ("cut", cut.to_owned()),
                ("error", "FAILED it reports: The server had an error while processing your request.".into()),
                ("filtered", "said \"So\"; REFUSED its content filter ended the answer".into()),
                ("nothing_called", "FAILED it wants tools called and does not say which".into()),
                ("reasoning", format!("{thought}FINISH_REASON_STOP 9/0/12")),
                ("refusal", "REFUSED it declines to answer: I'm sorry, I can't assist with that.".into()),
                ("same_index", "called f as a with {\"x\":1}; called f as b with {\"x\":2}; FINISH_REASON_TOOL_CALLS 0/0/0".into()),
                ("text", format!("{hello} 14/8/6")),
                ("tools", "called other as call_other with {}; called list_files as call_files with {\"path\": \".\"}; FINISH_REASON_TOOL_CALLS 79/0/30".into()),
            ],
        ),
        (
            Dialect::Anthropic,
            vec![
                ("bad_arguments", no_object.to_owned()),
                ("cut", cut.to_owned()),
                ("overloaded", "said \"So\"; FAILED it reports: Overloaded".into()),
                ("refusal", "REFUSED it declines to answer: It could do harm.".into()),
                ("text", format!("{hello} 40/5/6")),
                ("thinking", format!("{thought}FINISH_REASON_STOP 28/0/12")),
                ("tools", "said \"I'll look that up.\"; called get_weather as toolu_01A with {\"location\": \"Paris\"}; called get_time as toolu_02B with {}; FINISH_REASON_TOOL_CALLS 377/0/65".into()),
                ("unknown", "said \"News.\"; FINISH_REASON_STOP 11/0/6".into()),
            ],
        ),
        (
            Dialect::Ollama,
            vec![
                ("error", "said \"So\"; FAILED it reports: an error was encountered while running the model".into()),
                ("text", format!("{hello} 26/0/6")),
                ("thinking", format!("{thought}FINISH_REASON_LENGTH 9/0/12")),
                ("tools", "called get_weather as call_turn000 with {\"city\":\"Paris\"}; called get_time as call_x with {}; FINISH_REASON_TOOL_CALLS 169/0/15".into()),
            ],
        ),
    ];
    for ((dialect, name), (of, expected)) in ALL.into_iter().zip(expected) {
        assert_eq!(dialect, of);
        let read: Vec<_> = streams(dialect, name)
            .into_iter()
            .map(|(name, stream)| (name, read(dialect, [stream.as_slice()])))
            .collect();
        let expected: Vec<_> =
            expected.into_iter().map(|(name, told)| (name.to_owned(), told)).collect();
        assert_eq!(read, expected);
    }
}

#[test]
fn recorded_whole_answers_are_understood() {
    for ((dialect, name), expected) in ALL.into_iter().zip([
        "called f as call_1 with {\"x\":1}; FINISH_REASON_TOOL_CALLS 5/0/2",
        "thought \"Hm.\"; said \"Yes.\"; called f as toolu_01A with {\"x\":1}; FINISH_REASON_TOOL_CALLS 3/0/4",
        "said \"Yes.\"; FINISH_REASON_STOP 3/0/2",
    ]) {
        let files = golden(name, "whole.json");
        assert_eq!(read_whole(dialect, &files[0].1), expected);
    }
}

#[test]
fn a_stream_is_the_same_wherever_it_is_cut() {
    for (dialect, name) in ALL {
        for (file, stream) in streams(dialect, name) {
            let expected = read(dialect, [stream.as_slice()]);
            for cut in 0..stream.len() {
                let (left, right) = stream.split_at(cut);
                assert_eq!(read(dialect, [left, right]), expected, "{name}/{file} cut at {cut}");
            }
            assert_eq!(read(dialect, stream.chunks(1)), expected, "{name}/{file} in bytes");
        }
    }
}

#[test]
fn a_stream_that_ends_early_never_gives_half_a_call() {
    for (dialect, name) in ALL {
        for (file, stream) in streams(dialect, name).into_iter().filter(|(file, _)| file == "tools")
        {
            let whole = read(dialect, [stream.as_slice()]);
            let calls = |told: &str| -> Vec<String> {
                told.split("; ").filter(|it| it.starts_with("called")).map(str::to_owned).collect()
            };
            for end in 0..stream.len() {
                let told = read(dialect, [&stream[..end]]);
                let heard = calls(&told);
                assert!(heard.is_empty() || heard == calls(&whole), "{name}/{file}: {told}");
                assert!(!heard.is_empty() || told.ends_with("CUT"), "{name}/{file}: {told}");
            }
        }
    }
}

/// Every value of every event in turn is replaced by each of these, and every key is dropped.
#[test]
fn whatever_is_wrong_with_an_event_ends_in_a_typed_error_and_never_in_a_panic() {
    let wrong: Vec<Value> = ["null", "true", "-1", "1e300", "\"\"", "\"x\"", "[]", "[[]]", "{}"]
        .iter()
        .map(|json| serde_json::from_str(json).unwrap())
        .collect();
    let mut broken = 0;
    for (dialect, name) in ALL {
        for (_, stream) in streams(dialect, name) {
            let text = String::from_utf8(stream).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            for (at, line) in lines.iter().enumerate() {
                let (head, json) = line.split_at(if line.starts_with("data: ") { 6 } else { 0 });
                let Ok(event) = serde_json::from_str::<Value>(json) else { continue };
                for mutant in mutants(&event, &wrong) {
                    let mut lines: Vec<String> =
                        lines.iter().map(|&line| line.to_owned()).collect();
                    lines[at] = format!("{head}{mutant}");
                    let stream = lines.join("\n") + "\n\n";
                    // `told` panics at any error that is not typed as the provider's.
                    read(dialect, [stream.as_bytes()]);
                    read_whole(dialect, mutant.to_string().as_bytes());
                    broken += 1;
                }
            }
        }
    }
    assert!(broken > 5000, "{broken} mutants");
}

fn mutants(value: &Value, wrong: &[Value]) -> Vec<Value> {
    let mut mutants = wrong.to_vec();
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let mut without = fields.clone();
                without.remove(key);
                mutants.push(Value::Object(without));
                mutants.extend(self::mutants(inner, wrong).into_iter().map(|mutant| {
                    let mut with = fields.clone();
                    with.insert(key.clone(), mutant);
                    Value::Object(with)
                }));
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                mutants.extend(self::mutants(inner, wrong).into_iter().map(|mutant| {
                    let mut with = items.clone();
                    with[at] = mutant;
                    Value::Array(with)
                }));
            }
        }
        _ => (),
    }
    mutants
}

#[test]
fn bytes_that_are_no_json_are_refused_without_quoting_them() {
    for (dialect, _) in ALL {
        for body in [
            "{",
            "<html>",
            "7",
            "\"secret\"",
            "[{]",
            "{\"type\":7}",
            "{\"choices\":7}",
            "{\"done\":7}",
        ] {
            let told = read_whole(dialect, body.as_bytes());
            assert!(told.starts_with("FAILED "), "{body}: {told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }
}

#[test]
fn arguments_without_end_are_refused() {
    let begin = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}"#;
    let more = format!(
        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"input_json_delta","partial_json":"{}"}}}}"#,
        "x".repeat(1 << 16)
    );
    let stream = format!("data: {begin}\n\n") + &format!("data: {more}\n\n").repeat(17);
    let told = read(Dialect::Anthropic, [stream.as_bytes()]);
    assert_eq!(told, "FAILED it called a tool with more than 1024 KiB of arguments");
}
