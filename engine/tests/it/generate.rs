//! Answers: greedy and sampled, alone and together.

use tandem_proto::engine::from_engine::Message;
use tandem_proto::v1::{FinishReason, LogitBias, Sampling};

use crate::harness::{Engine, chat, greedy, raw, seeded};

#[test]
fn a_greedy_answer_is_sensible_and_says_how_it_went() {
    let mut engine = Engine::loaded();
    let answer = engine.ask(chat("What is the capital of France? Answer briefly.", greedy(32)));
    assert!(answer.text.contains("Paris"), "{}", answer.text);
    let finish = answer.last.finish.unwrap();
    let (usage, timings) = (finish.usage.unwrap(), finish.timings.unwrap());
    assert_eq!(usage.completion_tokens as usize, answer.tokens.len());
    assert!(usage.prompt_tokens > 20);
    assert!(timings.total_us >= timings.prefill_us + timings.decode_us);
    assert!(timings.time_to_first_token_us >= timings.prefill_us);
    assert!(timings.tokens_per_second > 0.0);
}

#[test]
fn the_end_of_the_answer_is_not_part_of_it() {
    let mut engine = Engine::loaded();
    let answer = engine.ask(chat("Say hello.", greedy(200)));
    assert_eq!(answer.reason(), FinishReason::Stop);
    assert!(!answer.text.contains("<|im_end|>"), "{}", answer.text);
    assert!(!answer.text.is_empty());
}

#[test]
fn max_tokens_bounds_the_answer() {
    let mut engine = Engine::loaded();
    let answer = engine.ask(chat("Tell me a long story about a fox.", greedy(7)));
    assert_eq!((answer.reason(), answer.tokens.len()), (FinishReason::Length, 7));
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_seed_another() {
    let mut engine = Engine::loaded();
    let mut ask = |seed| engine.ask(chat("Tell me a story about a fox.", seeded(seed, 40))).text;
    let first = ask(7);
    assert_eq!(first, ask(7));
    assert_ne!(first, ask(8));
}

#[test]
fn eight_requests_run_together_and_each_gets_its_own_answer() {
    let mut engine = Engine::loaded();
    let countries = ["France", "Italy", "Japan", "Spain", "Egypt", "Russia", "China", "Greece"];
    let capitals = ["Paris", "Rome", "Tokyo", "Madrid", "Cairo", "Moscow", "Beijing", "Athens"];
    let ids: Vec<u64> = countries
        .iter()
        .map(|country| {
            let question = format!("What is the capital of {country}? Answer briefly.");
            engine.generate(chat(&question, greedy(24)))
        })
        .collect();
    let answers = engine.answers(&ids);
    let right = answers.iter().zip(capitals).filter(|(answer, city)| answer.text.contains(city));
    assert!(right.count() >= 6, "{answers:?}");
}

#[test]
fn more_requests_than_sequences_all_get_their_answer() {
    let mut engine = Engine::loaded();
    let ids: Vec<u64> =
        (0..20).map(|n| engine.generate(chat(&format!("Count from {n}."), greedy(6)))).collect();
    for answer in engine.answers(&ids) {
        assert!(!answer.tokens.is_empty());
    }
}

#[test]
fn a_long_prompt_does_not_stop_an_answer_that_is_being_generated() {
    let mut engine = Engine::loaded();
    let story = engine.generate(raw("Once upon a time", greedy(60)));
    engine.first_step(story);
    let long = "The quick brown fox jumps over the lazy dog. ".repeat(60);
    let summary = engine.generate(raw(&long, greedy(4)));
    // The long prompt takes several steps; the story goes on in each of them.
    let mut story_tokens = 0;
    loop {
        let Message::Step(step) = engine.reply() else { continue };
        if step.sequences.iter().any(|sequence| sequence.id == summary) {
            break;
        }
        story_tokens += step.sequences.iter().filter(|sequence| sequence.id == story).count();
    }
    assert!(story_tokens >= 3, "only {story_tokens} tokens while the prompt was read");
}

#[test]
fn the_answer_ends_before_a_stop_string() {
    let mut engine = Engine::loaded();
    let whole = engine.ask(raw("Count: one, two, three, four, five, six,", greedy(24))).text;
    // From the middle of the answer, across at least one token boundary.
    let middle = whole.char_indices().nth(whole.chars().count() / 2).unwrap().0;
    let stop: String = whole[middle..].chars().take(9).collect();
    let sampling = Sampling { stop: vec!["no such text".into(), stop.clone()], ..greedy(24) };
    let answer = engine.ask(raw("Count: one, two, three, four, five, six,", sampling));
    assert_eq!(answer.reason(), FinishReason::Stop);
    assert_eq!(answer.text, whole[..whole.find(&stop).unwrap()]);
}

#[test]
fn log_probabilities_come_with_their_tokens() {
    let mut engine = Engine::loaded();
    let sampling = Sampling { logprobs: Some(5), ..greedy(12) };
    let answer = engine.ask(chat("What is the capital of France?", sampling));
    assert_eq!(answer.logprobs.len(), answer.tokens.len());
    let mut text = Vec::new();
    let mut sum = 0.0;
    for (entry, token) in answer.logprobs.iter().zip(&answer.tokens) {
        assert_eq!(entry.token, *token);
        assert_eq!(entry.alternatives.len(), 5);
        assert_eq!(entry.alternatives[0].token, *token, "greedy takes the likeliest");
        assert!(entry.alternatives.is_sorted_by(|a, b| a.logprob >= b.logprob));
        let probability: f32 = entry.alternatives.iter().map(|a| a.logprob.exp()).sum();
        assert!(probability <= 1.0 + 1e-4);
        text.extend(&entry.bytes);
        sum += f64::from(entry.logprob);
    }
    assert_eq!(String::from_utf8(text).unwrap(), answer.text);
    assert!((answer.logprob_sum - sum).abs() < 1e-4);
    let silent = engine.ask(chat("What is the capital of France?", greedy(12)));
    assert!(silent.logprobs.is_empty());
    assert!((silent.logprob_sum - sum).abs() < 1e-4, "the sum is there without being asked for");
}

#[test]
fn a_biased_token_is_chosen_always_or_never() {
    let mut engine = Engine::loaded();
    let first = engine.ask(chat("Say hello.", greedy(1))).tokens[0];
    let bias = |bias| vec![LogitBias { token: first, bias }];
    let always = Sampling { logit_bias: bias(100.0), ..greedy(4) };
    assert_eq!(engine.ask(raw("Anything at all", always)).tokens, [first; 4]);
    let never = Sampling { logit_bias: bias(-100.0), ..greedy(8) };
    assert!(!engine.ask(chat("Say hello.", never)).tokens.contains(&first));
}
