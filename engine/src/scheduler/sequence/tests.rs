#![allow(clippy::unwrap_used, reason = "tests")]

use tandem_proto::v1::{Certainty, Sampling, Usage};

use super::*;
use crate::constraint::{Compiler, Wanted};
use crate::reasoning::{Reasoning, Splitter};
use crate::sampling::tests::neutral;

/// Tokens are the bytes of their text; `$` ends the answer.
struct Bytes;

impl Vocabulary for Bytes {
    fn size(&self) -> u32 {
        256
    }

    fn ends_generation(&self, token: u32) -> bool {
        token == u32::from(b'$')
    }

    fn append_text(&self, token: u32, out: &mut Vec<u8>) {
        out.push(u8::try_from(token).unwrap());
    }

    fn append_bytes(&self, token: u32, out: &mut Vec<u8>) {
        self.append_text(token, out);
    }
}

/// Logits that make `byte` the only likely token.
fn row(byte: u8) -> Vec<f32> {
    let mut row = vec![-50.0; 256];
    row[usize::from(byte)] = 50.0;
    row
}

fn tokens(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

fn request(resume: &str, max_tokens: u32, stop: &[&str]) -> Request {
    let stop = stop.iter().map(|&stop| stop.to_owned()).collect();
    Request {
        id: 9,
        prompt: tokens("prompt"),
        system_tokens: 0,
        resume: tokens(resume),
        settings: Settings { temperature: 0.0, max_tokens, stop, ..neutral() },
        splitter: Splitter::default(),
        draft: None,
        constraint: None,
        priority: Priority::Unspecified,
        received: Instant::now(),
    }
}

/// A request whose answer is yes or no.
fn yes_or_no(resume: &str, mirostat: Option<(f32, f32)>) -> Request {
    let sampling =
        Sampling { grammar: "root ::= \"yes\" | \"no\"".to_owned(), ..Sampling::default() };
    let wanted = Wanted::new(&sampling).unwrap().unwrap();
    let constraint = Some(wanted.compile(&Compiler::new(&Bytes).unwrap()).unwrap());
    let mut request = Request { constraint, ..request(resume, 10, &["sure"]) };
    if mirostat.is_some() {
        request.settings = Settings { mirostat, temperature: 1.0, ..request.settings };
    }
    request
}

fn start(request: Request) -> (Sequence, Option<SequenceStep>) {
    Sequence::new(request, Instant::now(), &Bytes)
}

/// Decodes until a token is chosen. `row` makes the logits behind as many tokens.
fn go_on(
    sequence: &mut Sequence,
    row: impl Fn(usize) -> Vec<f32>,
    sampler: &mut Sampler,
) -> Advance {
    loop {
        let count = sequence.pending().len();
        let has_row = sequence.goes_on_after(count);
        sequence.mark_decoded(count);
        if has_row {
            let row = row(sequence.decoded());
            let advance = sequence.advance(&row, sampler, &Bytes, Instant::now());
            if let Some(advance) = advance.unwrap() {
                return advance;
            }
        }
    }
}

/// Lets the sequence generate `text`; all text reported, and the last step.
fn generate(sequence: &mut Sequence, text: &str) -> (String, SequenceStep) {
    let mut sampler = Sampler::default();
    let mut reported = String::new();
    let mut last = SequenceStep::default();
    for byte in text.bytes() {
        let (step, ended) = go_on(sequence, |_| row(byte), &mut sampler);
        assert_eq!(ended, step.finish.is_some());
        reported.push_str(&step.text);
        last = step;
        if ended {
            break;
        }
        assert_eq!(sequence.pending(), [u32::from(byte)], "the new token is to be decoded");
    }
    (reported, last)
}

fn reason(step: &SequenceStep) -> FinishReason {
    step.finish.as_ref().unwrap().reason()
}

fn usage(step: &SequenceStep) -> Usage {
    step.finish.as_ref().unwrap().usage.unwrap()
}

#[test]
fn the_end_token_ends_the_answer_and_is_not_reported() {
    let (mut sequence, last) = start(request("", 10, &[]));
    assert_eq!((last, sequence.pending().len()), (None, 6));
    let (text, last) = generate(&mut sequence, "hi$");
    assert_eq!((text.as_str(), reason(&last)), ("hi", FinishReason::Stop));
    assert!(last.tokens.is_empty());
    assert_eq!((usage(&last).prompt_tokens, usage(&last).completion_tokens), (6, 2));
}

#[test]
fn max_tokens_ends_the_answer_and_releases_what_was_held_back() {
    let (mut sequence, _) = start(request("", 3, &["END"]));
    let (text, last) = generate(&mut sequence, "xEN");
    assert_eq!((text.as_str(), reason(&last)), ("xEN", FinishReason::Length));
    assert_eq!(last.tokens, tokens("N"));
}

#[test]
fn a_stop_string_ends_the_answer_before_it() {
    let (mut sequence, _) = start(request("", 10, &["END"]));
    let (text, last) = generate(&mut sequence, "xEND");
    assert_eq!((text.as_str(), reason(&last)), ("x", FinishReason::Stop));
    assert_eq!(usage(&last).completion_tokens, 4);
}

#[test]
fn a_cancelled_answer_releases_what_was_held_back() {
    let (mut sequence, _) = start(request("", 10, &["END"]));
    let (text, _) = generate(&mut sequence, "xE");
    assert_eq!(text, "x");
    let step = sequence.finish(FinishReason::Cancelled, Instant::now());
    assert_eq!((step.text.as_str(), reason(&step)), ("E", FinishReason::Cancelled));
}

#[test]
fn a_resumed_answer_reports_only_what_is_new() {
    let (mut whole, _) = start(request("", 8, &["END"]));
    let (whole_text, whole_last) = generate(&mut whole, "aEbENDcd");
    for cut in 0..5 {
        let (mut before, _) = start(request("", 8, &["END"]));
        let (first_text, _) = generate(&mut before, &"aEbENDcd"[..cut]);
        let (mut after, last) = start(request(&"aEbENDcd"[..cut], 8, &["END"]));
        assert_eq!((last, after.pending().len()), (None, 6));
        let (rest_text, last) = generate(&mut after, &"aEbENDcd"[cut..]);
        assert_eq!(first_text + &rest_text, whole_text, "cut at {cut}");
        assert_eq!((reason(&last), usage(&last)), (reason(&whole_last), usage(&whole_last)));
    }
}

#[test]
fn a_resumed_answer_that_is_over_ends_at_once() {
    let (_, last) = start(request("abc", 3, &[]));
    let last = last.unwrap();
    assert_eq!((reason(&last), usage(&last).completion_tokens), (FinishReason::Length, 3));
    assert!(last.finish.unwrap().timings.unwrap().tokens_per_second <= 0.0);
    let (_, last) = start(request("aEND", 9, &["END"]));
    assert_eq!(reason(&last.unwrap()), FinishReason::Stop);
}

#[test]
fn log_probabilities_name_the_token_and_its_rivals() {
    let mut request = request("", 4, &[]);
    request.settings.logprobs = Some(2);
    let (mut sequence, _) = start(request);
    let (_, step) = generate(&mut sequence, "x");
    assert_eq!(step.logprobs.len(), 1);
    let entry = &step.logprobs[0];
    assert_eq!((entry.token, entry.bytes.as_slice()), (u32::from(b'x'), b"x".as_slice()));
    assert_eq!(entry.alternatives.len(), 2);
    assert!(entry.logprob <= 0.0 && entry.logprob > -0.001);
    assert!((step.logprob_sum - f64::from(entry.logprob)).abs() < 1e-9);
}

#[test]
fn logits_that_are_not_numbers_fail_the_sequence() {
    let (mut sequence, _) = start(request("", 4, &[]));
    let mut sampler = Sampler::default();
    let failed = sequence.advance(&[f32::NAN; 256], &mut sampler, &Bytes, Instant::now());
    assert_eq!(failed, Err(NotFinite.into()));
}

#[test]
fn an_answer_ends_when_its_constraint_lets_nothing_follow() {
    let (mut sequence, _) = start(yes_or_no("", None));
    let (text, last) = generate(&mut sequence, "yes");
    assert_eq!((text.as_str(), reason(&last)), ("yes", FinishReason::Stop));
    assert_eq!(usage(&last).completion_tokens, 3);
}

/// Chooses again and again while the model wants nothing but `x`.
fn overruled(mut sequence: Sequence) -> String {
    let mut sampler = Sampler::default();
    let mut text = String::new();
    loop {
        let (step, ended) = go_on(&mut sequence, |_| row(b'x'), &mut sampler);
        text.push_str(&step.text);
        if ended {
            assert_eq!(reason(&step), FinishReason::Stop);
            return text;
        }
    }
}

#[test]
fn a_resumed_answer_goes_on_under_its_constraint() {
    for mirostat in [None, Some((2.0, 0.1))] {
        let (sequence, last) = start(yes_or_no("ye", mirostat));
        assert_eq!(last, None);
        assert_eq!(overruled(sequence), "s");
    }
}

#[test]
fn a_resumed_answer_that_breaks_its_constraint_fails() {
    let (mut sequence, last) = start(yes_or_no("maybe", None));
    assert_eq!(last, None);
    sequence.mark_decoded(sequence.pending().len());
    let failed = sequence.advance(&row(b'y'), &mut Sampler::default(), &Bytes, Instant::now());
    assert!(matches!(failed, Err(Failure::Constraint(_))));
}

#[test]
fn a_resumed_answer_sees_the_logits_behind_every_token_again() {
    let mut request = request("abc", 10, &[]);
    request.settings = Settings { temperature: 1.0, mirostat: Some((2.0, 0.1)), ..neutral() };
    let (mut sequence, _) = start(request);
    let mut sampler = Sampler::default();
    for byte in b"abc" {
        let count = sequence.pending().len();
        assert!(sequence.goes_on_after(count));
        sequence.mark_decoded(count);
        let advance = sequence.advance(&row(*byte), &mut sampler, &Bytes, Instant::now());
        assert_eq!(advance, Ok(None), "what is replayed is not reported");
    }
    sequence.mark_decoded(sequence.pending().len());
    let advance = sequence.advance(&row(b'd'), &mut sampler, &Bytes, Instant::now());
    assert_eq!(advance.unwrap().unwrap().0.tokens, tokens("d"));
}

#[test]
fn a_prompt_that_others_computed_is_counted_once() {
    let (mut sequence, _) = start(request("", 3, &[]));
    assert!(sequence.begin(0, 2, 0, Instant::now()));
    sequence.take_over(4);
    assert_eq!(sequence.pending(), tokens("pt"));
    generate(&mut sequence, "ab");
    sequence.suspend();
    assert!(!sequence.begin(1, 5, 0, Instant::now()), "it began before");
    assert_eq!(sequence.pending(), tokens("t"));
    let (text, last) = generate(&mut sequence, "c");
    assert_eq!((text.as_str(), usage(&last).cached_tokens), ("c", 4));
}

#[test]
fn cells_are_set_aside_for_the_prompt_and_the_beginning_of_the_answer() {
    let (mut sequence, _) = start(request("", 1000, &[]));
    assert_eq!(sequence.goal(), 6 + HEADROOM);
    sequence.begin(0, 2, 0, Instant::now());
    assert_eq!(sequence.outstanding(), 4 + HEADROOM);
    sequence.wait_for(5);
    assert_eq!(sequence.outstanding(), 1 + HEADROOM);
    let (sequence, _) = start(request("ab", 3, &[]));
    assert_eq!(sequence.goal(), 9, "no more than can come");
}

/// Lets a sequence that has seen all but its last token check a guess against a model that says
/// `text`; what came of it.
fn verify(sequence: &mut Sequence, guess: &str, text: &str) -> (SequenceStep, bool) {
    let rows: Vec<Vec<f32>> = text.bytes().map(row).collect();
    let rows = |at: usize| rows[at].as_slice();
    let now = Instant::now();
    sequence.mark_decoded(sequence.pending().len() - 1);
    sequence.verify(&tokens(guess), rows, &mut Sampler::default(), &Bytes, now).unwrap().unwrap()
}

/// A sequence that may guess.
fn guessing(request: Request) -> Sequence {
    let (mut sequence, _) = start(request);
    sequence.speculate();
    sequence
}

fn guessed(step: &SequenceStep) -> (u32, u32) {
    (usage(step).drafted_tokens, usage(step).accepted_tokens)
}

#[test]
fn a_guess_is_taken_as_far_as_it_is_right_and_one_token_more() {
    let mut sequence = guessing(request("", 10, &[]));
    let (step, ended) = verify(&mut sequence, "hello", "helium");
    assert_eq!((step.text.as_str(), step.tokens, ended), ("heli", tokens("heli"), false));
    assert_eq!(sequence.seen(), tokens("prompthel"), "the cache holds two tokens too many");
    assert_eq!(sequence.pending(), tokens("i"));
    let (step, ended) = verify(&mut sequence, "um", "um!");
    assert_eq!((step.text.as_str(), ended), ("um!", false));
    let (step, ended) = verify(&mut sequence, "", "$");
    assert_eq!((step.tokens, ended), (vec![], true));
    assert_eq!(usage(&sequence.finish(FinishReason::Stop, Instant::now())).completion_tokens, 7);
}

#[test]
fn an_answer_ends_within_a_guess_where_it_would_end_without() {
    let cases = [
        ("abc$x", "abc$x", 10, "abc", (5, 3)),
        ("abEND!", "abEND!", 10, "ab", (6, 5)),
        ("abcdef", "abcdef", 4, "abcd", (6, 4)),
    ];
    for (guess, model, max_tokens, said, counts) in cases {
        let mut sequence = guessing(request("", max_tokens, &["END"]));
        let (step, ended) = verify(&mut sequence, guess, model);
        assert_eq!((step.text.as_str(), ended), (said, true), "{guess}");
        assert_eq!(guessed(&step), counts, "{guess}");
        let seen = format!("prompt{}", &guess[..sequence.seen().len() - 6]);
        assert_eq!(sequence.seen(), tokens(&seen));
    }
}

#[test]
fn a_constraint_ends_an_answer_within_a_guess() {
    let mut sequence = guessing(yes_or_no("", None));
    let (step, ended) = verify(&mut sequence, "yesyes", "yesyesy");
    assert_eq!((step.text.as_str(), ended, guessed(&step)), ("yes", true, (6, 3)));
    // The model would rather say something else, but may not.
    let mut sequence = guessing(yes_or_no("", None));
    let (step, _) = verify(&mut sequence, "ya", "yaa");
    assert_eq!(step.tokens, tokens("ye"));
}

#[test]
fn a_penalty_counts_the_tokens_of_the_guess() {
    let mut request = request("", 10, &[]);
    request.settings = Settings { presence_penalty: 200.0, repeat_last_n: 4, ..request.settings };
    let mut sequence = guessing(request);
    let (step, _) = verify(&mut sequence, "aaaa", "aaaaa");
    assert_eq!(step.tokens.len(), 2, "{step:?}");
    assert_ne!(step.tokens[1], u32::from(b'a'));
}

#[test]
fn nothing_is_guessed_with_mirostat_or_beyond_the_end() {
    let chances = |change: fn(&mut Settings)| {
        let mut request = request("ompt", 10, &[]);
        request.prompt = tokens("prompt pr");
        change(&mut request.settings);
        let mut sequence = guessing(request);
        sequence.mark_decoded(12);
        sequence.chances(1).len()
    };
    assert_eq!(chances(|_| {}), 5, "one more comes behind them");
    assert_eq!(chances(|settings| settings.max_tokens = 6), 1);
    assert_eq!(chances(|settings| settings.max_tokens = 5), 0);
    let surprising = |settings: &mut Settings| {
        (settings.mirostat, settings.temperature) = (Some((5.0, 0.1)), 1.0);
    };
    assert_eq!(chances(surprising), 0);
}

/// Logits that make `byte` the likeliest token, the surer the later in the answer, with one rival.
fn doubtful(byte: u8, place: u8) -> Vec<f32> {
    let probability = 0.6 + 0.05 * f32::from(place.min(7));
    let mut row = vec![-50.0; 256];
    row[usize::from(byte)] = probability.ln();
    row[usize::from(b'#')] = (1.0 - probability).ln();
    row
}

/// Lets the sequence say `text` behind its prompt of 6 tokens, losing its place after `lost` of them.
fn certainty(mut sequence: Sequence, text: &str, lost: Option<usize>) -> Option<Certainty> {
    let model = |seen: usize| doubtful(text.as_bytes()[seen - 6], u8::try_from(seen - 6).unwrap());
    let mut sampler = Sampler::default();
    loop {
        let (step, ended) = go_on(&mut sequence, model, &mut sampler);
        if ended {
            return step.finish.unwrap().certainty;
        }
        if lost == Some(sequence.answer_tokens()) {
            sequence.suspend();
        }
    }
}

#[test]
fn the_certainty_of_an_answer_is_that_of_its_tokens_and_not_of_its_end() {
    let (sequence, _) = start(request("", 10, &[]));
    let certainty = certainty(sequence, "abc$", None).unwrap();
    assert_eq!(certainty.tokens, 3);
    let logprobs: [f64; 3] = [0.6_f64.ln(), 0.65_f64.ln(), 0.7_f64.ln()];
    assert!((certainty.logprob_mean - logprobs.iter().sum::<f64>() / 3.0).abs() < 1e-6);
    assert!((certainty.logprob_least - logprobs[0]).abs() < 1e-6);
    let entropy = -(0.6 * 0.6_f64.ln() + 0.4 * 0.4_f64.ln());
    assert!((certainty.entropy_most - entropy).abs() < 1e-6, "{certainty:?}");
    assert!((certainty.margin_mean - 0.3).abs() < 1e-6, "{certainty:?}");
}

#[test]
fn an_answer_that_was_interrupted_is_as_certain_as_one_that_was_not() {
    let (sequence, _) = start(request("", 10, &[]));
    let whole = certainty(sequence, "abcdef$", None);
    for cut in 1..6 {
        let (sequence, _) = start(request(&"abcdef"[..cut], 10, &[]));
        assert_eq!(certainty(sequence, "abcdef$", None), whole, "by the end of an engine at {cut}");
        let (sequence, _) = start(request("", 10, &[]));
        assert_eq!(certainty(sequence, "abcdef$", Some(cut)), whole, "lost its place at {cut}");
        let (sequence, _) = start(request(&"abcdef"[..cut], 10, &[]));
        assert_eq!(certainty(sequence, "abcdef$", Some(cut + 1)), whole, "both at {cut}");
    }
}

#[test]
fn guessed_tokens_are_as_certain_as_others() {
    let (sequence, _) = start(request("", 3, &[]));
    let one_by_one = certainty(sequence, "abc", None);
    let rows: Vec<_> = (0..3).map(|at| doubtful(b"abc"[usize::from(at)], at)).collect();
    let mut sequence = guessing(request("", 3, &[]));
    sequence.mark_decoded(5);
    let now = Instant::now();
    let advance =
        sequence.verify(&tokens("abc"), |at| &rows[at], &mut Sampler::default(), &Bytes, now);
    let (step, _) = advance.unwrap().unwrap();
    assert_eq!(step.finish.unwrap().certainty, one_by_one);
}

#[test]
fn a_thought_is_not_part_of_the_certainty() {
    let thinking = |resume| {
        let splitter = Reasoning::new("<think></think>", |_| None).splitter("");
        start(Request { splitter, ..request(resume, 40, &[]) }).0
    };
    let said = "<think>h</think>ok$";
    for resume in [0, 3, 8, 17] {
        let certainty = certainty(thinking(&said[..resume]), said, None).unwrap();
        assert_eq!(certainty.tokens, 2, "resumed at {resume}");
    }
    assert_eq!(certainty(thinking(""), "<think>$", None), None, "nothing but a thought");
}

#[test]
fn a_token_without_an_alternative_is_not_part_of_the_certainty() {
    let (sequence, _) = start(yes_or_no("", None));
    assert_eq!(certainty(sequence, "yes", None).unwrap().tokens, 1);
}
