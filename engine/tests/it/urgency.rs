//! Who goes first: what a person waits for, a program, or nobody.

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::{Generate, Load};
use tandem_proto::v1::Priority;

use crate::harness::{Answer, Engine, greedy, load_request, raw};

/// More answers than come while another one gets its tokens, if it gets them.
const PATIENCE: usize = 1000;

fn prompt(words: usize, priority: Priority) -> Generate {
    // Nothing of it can be shared.
    let word = if priority == Priority::High { " sea" } else { " tree" };
    Generate { priority: priority.into(), ..raw(&word.repeat(words), greedy(2)) }
}

/// An engine whose answers are the same whatever runs beside them.
fn exact(load: Load) -> Engine {
    let mut engine = Engine::start();
    engine.load(Load { exact: true, ..load }).unwrap();
    engine
}

/// Begins a request and waits until it has its place.
fn begin(engine: &mut Engine, request: Generate) -> u64 {
    let id = engine.generate(request);
    while !matches!(engine.reply(), Message::Started(started) if started.id == id) {}
    id
}

/// Whole answers, in the order in which they began.
fn in_order(engine: &mut Engine, ids: &[u64]) -> Vec<(u64, Answer)> {
    let mut begun: Vec<(u64, Answer)> = Vec::new();
    let mut open = ids.len();
    while open > 0 {
        let Message::Step(step) = engine.reply() else { continue };
        for sequence in step.sequences {
            let at = begun.iter().position(|(id, _)| *id == sequence.id).unwrap_or(begun.len());
            if at == begun.len() {
                begun.push((sequence.id, Answer::default()));
            }
            open -= usize::from(begun[at].1.add(sequence));
        }
    }
    begun
}

fn first_is(engine: &mut Engine, first: u64, second: u64) -> [Answer; 2] {
    let answers = in_order(engine, &[first, second]);
    assert_eq!(answers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [first, second]);
    let mut answers = answers.into_iter().map(|(_, answer)| answer);
    [answers.next().unwrap(), answers.next().unwrap()]
}

#[test]
fn the_prompt_that_a_person_waits_for_is_read_first_however_long() {
    let mut engine = Engine::start();
    engine.load(Load { batch_tokens: 64, ..load_request() }).unwrap();
    let background = begin(&mut engine, prompt(900, Priority::Low));
    let person = engine.generate(prompt(1200, Priority::High));
    first_is(&mut engine, person, background);
}

#[test]
fn a_batch_is_cut_short_for_a_person_and_made_up_for() {
    // The whole prompt is one batch.
    let mut engine = exact(Load { batch_tokens: 4096, ..load_request() });
    let story = "Once upon a time there was a little girl who lived near the sea. ".repeat(50);
    let long = Generate { priority: Priority::Low.into(), ..raw(&story, greedy(24)) };
    let background = begin(&mut engine, long.clone());
    let person = engine.generate(prompt(20, Priority::High));
    let [_, answer] = first_is(&mut engine, person, background);
    let mut engine = exact(Load { batch_tokens: 4096, ..load_request() });
    assert_eq!(answer.tokens, engine.ask(long).tokens);
}

#[test]
fn what_nobody_waits_for_gives_its_cells_to_a_person_and_loses_nothing() {
    let load = || Load { context_tokens: 768, ..load_request() };
    let mut engine = exact(load());
    let long = raw("Here is a story of a ship:", greedy(400));
    let long = Generate { priority: Priority::Low.into(), ..long };
    let background = begin(&mut engine, long.clone());
    let first = engine.first_step(background);
    let person = engine.generate(prompt(600, Priority::High));
    let answers = in_order(&mut engine, &[background, person]);
    assert!(engine.idle().preemptions > 0);
    let (_, rest) = answers.into_iter().find(|(id, _)| *id == background).unwrap();
    let tokens = [first.tokens, rest.tokens].concat();
    assert_eq!(tokens, exact(load()).ask(long).tokens);
}

#[test]
fn an_answer_gets_on_under_any_stream_of_more_urgent_ones() {
    let mut engine = Engine::loaded();
    let program = engine.generate(raw("Once upon a time", greedy(60)));
    engine.first_step(program);
    let mut person = engine.generate(prompt(3, Priority::High));
    let mut answered = 0;
    let mut answer = Answer::default();
    loop {
        let Message::Step(step) = engine.reply() else { continue };
        for sequence in step.sequences {
            if sequence.id == program {
                if answer.add(sequence) {
                    assert!(answered > 0, "there was a stream");
                    return;
                }
            } else if sequence.finish.is_some() {
                answered += 1;
                assert!(answered < PATIENCE, "{} tokens", answer.tokens.len());
                assert_eq!(sequence.id, person);
                person = engine.generate(prompt(3, Priority::High));
            }
        }
    }
}
