//! Guessed tokens change when an answer comes, and nothing else.

use tandem_proto::engine::{Generate, Load, Speculation};
use tandem_proto::v1::{LogitBias, Sampling};

use crate::harness::{Answer, Engine, chat, greedy, load_request, raw, seeded};

/// An engine that speculates so. It has so many cells that each sequence lies in order: attention
/// adds up cells as they lie, and rounds accordingly.
fn engine(speculation: Speculation) -> Engine {
    let mut engine = Engine::start();
    let load = Load {
        context_tokens: 8192,
        // Several engines run side by side.
        threads: 1,
        self_test: false,
        speculation: speculation.into(),
        ..load_request()
    };
    engine.load(load).unwrap();
    engine
}

const BOTH: [Speculation; 2] = [Speculation::Always, Speculation::Auto];

const LIST: &str = "apple, banana, cherry, damson, elderberry, fig, grape, hazelnut, iris, juniper";

/// Twenty prompts: some to be repeated, some with patterns, and free ones.
pub fn prompts(sampling: fn(u64, u32) -> Sampling) -> Vec<Generate> {
    let repeated = [
        format!("{LIST}\n{LIST}\n"),
        "one two three one two three one two three".to_owned(),
        "fn a(x: u32) -> u32 { x + 1 }\nfn b(x: u32) -> u32 { x + 2 }\nfn c(".to_owned(),
        "{\"id\": 1, \"name\": \"a\"}\n{\"id\": 2, \"name\": \"b\"}\n{\"id\": 3,".to_owned(),
        "To be, or not to be, that is the question. To be, or not".to_owned(),
        "A rose is a rose is a rose is a".to_owned(),
        "| 1 | one |\n| 2 | two |\n| 3 | three |\n| 4 |".to_owned(),
        "la la la la la la la la".to_owned(),
    ];
    let asked = [
        format!("Repeat this list word for word: {LIST}"),
        "Say \"the early bird catches the worm\" five times.".to_owned(),
        "Write the numbers from one to thirty.".to_owned(),
        "What is the capital of France?".to_owned(),
        "Tell me a story about a fox.".to_owned(),
        "Write a poem in which each line begins with the same words.".to_owned(),
        "Translate into French: The cat sleeps. The dog sleeps. The bird sleeps.".to_owned(),
        "Why is the sky blue?".to_owned(),
        "List ten animals, one in each line.".to_owned(),
        "Copy: 12 34 56 78 90 12 34 56 78 90".to_owned(),
        "Give me a recipe for bread.".to_owned(),
        "Hello!".to_owned(),
    ];
    let repeated = repeated.iter().zip(1..).map(|(text, seed)| raw(text, sampling(seed, 40)));
    let asked = asked.iter().zip(50..).map(|(text, seed)| chat(text, sampling(seed, 40)));
    repeated.chain(asked).collect()
}

/// What an answer says, whenever it was said.
fn said(answer: &Answer) -> (&str, &[u32], i32, u32) {
    let finish = answer.last.finish.as_ref().unwrap();
    (&answer.text, &answer.tokens, finish.reason, answer.usage().completion_tokens)
}

/// Answers do not depend on speculation; of all tokens guessed, how many were right.
fn answers_are_the_same(prompts: Vec<Generate>, speculation: &[Speculation]) -> (u32, u32) {
    let mut plain = engine(Speculation::Unspecified);
    let mut guessing: Vec<_> = speculation.iter().copied().map(engine).collect();
    let (mut drafted, mut accepted) = (0, 0);
    for prompt in prompts {
        let expected = plain.ask(prompt.clone());
        assert_eq!(expected.usage().drafted_tokens, 0);
        for engine in &mut guessing {
            let answer = engine.ask(prompt.clone());
            assert_eq!(said(&answer), said(&expected), "{prompt:?}");
            assert!((answer.logprob_sum - expected.logprob_sum).abs() < 1e-3, "{prompt:?}");
            let usage = answer.usage();
            assert!(usage.accepted_tokens <= usage.drafted_tokens.min(usage.completion_tokens));
            drafted += usage.drafted_tokens;
            accepted += usage.accepted_tokens;
        }
    }
    (drafted, accepted)
}

#[test]
fn greedy_answers_are_the_same_with_speculation() {
    let (drafted, accepted) = answers_are_the_same(prompts(|_, most| greedy(most)), &BOTH);
    assert!(accepted > 50 && accepted < drafted, "{accepted} of {drafted}");
}

#[test]
fn sampled_answers_are_the_same_with_speculation() {
    let (drafted, accepted) = answers_are_the_same(prompts(seeded), &BOTH);
    assert!(accepted > 10 && accepted < drafted, "{accepted} of {drafted}");
}

#[test]
fn answers_under_penalties_bias_grammar_and_stop_strings_are_the_same_with_speculation() {
    let repeat = format!("{LIST}\n{LIST}\n{LIST}\n");
    let bias = vec![LogitBias { token: 28, bias: -2.0 }];
    let samplings = [
        Sampling { repeat_penalty: Some(1.1), frequency_penalty: Some(0.2), ..seeded(3, 48) },
        Sampling { logit_bias: bias, top_k: Some(40), ..seeded(4, 48) },
        Sampling { grammar: "root ::= (\"fig, \" | \"grape, \")+".to_owned(), ..greedy(40) },
        Sampling { stop: vec!["fig, gra".to_owned()], ..greedy(48) },
        Sampling { logprobs: Some(3), ..greedy(24) },
    ];
    let prompts = samplings.into_iter().map(|sampling| raw(&repeat, sampling)).collect();
    let (drafted, accepted) = answers_are_the_same(prompts, &[Speculation::Always]);
    assert!(accepted > 20 && accepted < drafted, "{accepted} of {drafted}");
}

#[test]
fn most_of_an_answer_that_quotes_is_guessed() {
    let mut engine = engine(Speculation::Always);
    let answer = engine.ask(raw(&"one two three ".repeat(8), greedy(96)));
    let usage = answer.usage();
    assert!(usage.accepted_tokens > usage.completion_tokens / 2, "{usage:?}: {}", answer.text);
}

#[test]
fn mirostat_is_not_speculated_with() {
    let mut engine = engine(Speculation::Always);
    let sampling = Sampling { mirostat: Some(2), mirostat_tau: Some(3.0), ..seeded(5, 32) };
    let usage = engine.ask(raw(&format!("{LIST}\n{LIST}\n"), sampling)).usage();
    assert_eq!((usage.completion_tokens, usage.drafted_tokens), (32, 0));
}

#[test]
fn sequences_that_guess_beside_each_other_all_get_on() {
    let mut guessing = engine(Speculation::Always);
    let texts = ["fig, grape", "one two three", "la", "A rose is a rose"];
    for _ in 0..2 {
        let ids = texts
            .map(|text| guessing.generate(raw(&format!("{text}\n{text}\n{text}\n"), greedy(24))));
        let answers = guessing.answers(&ids);
        let accepted: u32 = answers.iter().map(|answer| answer.usage().accepted_tokens).sum();
        assert!(accepted > 16, "{accepted} of {answers:?}");
        for answer in &answers {
            let usage = answer.usage();
            assert!(usage.accepted_tokens <= usage.drafted_tokens);
            assert_eq!(usage.completion_tokens as usize, answer.tokens.len());
        }
    }
}
