//! Many requests at random against a small cache: whatever happens, each ends once, and nothing
//! is lost.

use std::collections::{BTreeMap, HashSet};

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::{Generate, Heartbeat, Load};
use tandem_proto::v1::{FinishReason, LogitBias, Priority, Sampling};

use crate::harness::{Answer, Engine, greedy, load_request, raw, seeded};

const CELLS: u32 = 768;
const COMMA: u32 = 28;

/// Pseudo-random numbers; the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// Enough for some thousand steps.
const REQUESTS: u32 = 120;

/// What is known of the requests.
#[derive(Default)]
struct Storm {
    /// Requests that have not ended, and the number of tokens wanted if it is certain.
    open: BTreeMap<u64, (Answer, Option<u32>)>,
    started: HashSet<u64>,
    cancelled: HashSet<u64>,
    last: Heartbeat,
}

impl Storm {
    fn send(&mut self, engine: &mut Engine, random: &mut Random) {
        let stem = "The quick brown fox jumps over the lazy dog. ".repeat(random.below(4) as usize);
        let more = "x ".repeat(random.below(60) as usize);
        let prompt = format!("{stem}{more}{}", random.below(8));
        // Long answers outgrow what is set aside for them.
        let (sampling, wanted) = match random.below(12) {
            0..=2 => (commas(400 + random.below(100) as u32), true),
            3 => (commas(1 + random.below(30) as u32), true),
            4..=7 => (seeded(random.below(100), 1 + random.below(30) as u32), false),
            _ => (greedy(1 + random.below(12) as u32), false),
        };
        let wanted = sampling.max_tokens.filter(|_| wanted);
        let priority = [Priority::Low, Priority::Normal, Priority::High][random.below(3) as usize];
        let request = Generate { priority: priority.into(), ..raw(&prompt, sampling) };
        let id = engine.generate(request);
        self.open.insert(id, (Answer::default(), wanted));
    }

    fn cancel(&mut self, engine: &mut Engine, random: &mut Random) {
        let at = random.below(self.open.len() as u64) as usize;
        let &id = self.open.keys().nth(at).unwrap();
        engine.cancel(id);
        self.cancelled.insert(id);
    }

    fn receive(&mut self, engine: &mut Engine) {
        match engine.receive() {
            Some(Message::Started(started)) => {
                assert!(self.started.insert(started.id), "{} started twice", started.id);
            }
            Some(Message::Heartbeat(heartbeat)) => {
                assert!(heartbeat.cells_free + heartbeat.cells_retained <= CELLS);
                assert!(heartbeat.sequences_active <= 6);
                self.last = heartbeat;
            }
            Some(Message::Step(step)) => {
                for sequence in step.sequences {
                    let id = sequence.id;
                    let (answer, _) = self.open.get_mut(&id).expect("ended before");
                    if answer.add(sequence) {
                        let (answer, wanted) = self.open.remove(&id).unwrap();
                        self.check(id, &answer, wanted);
                    }
                }
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    fn check(&self, id: u64, answer: &Answer, wanted: Option<u32>) {
        if answer.reason() == FinishReason::Cancelled {
            assert!(self.cancelled.contains(&id), "{id} was not cancelled");
            return;
        }
        assert!(self.started.contains(&id));
        assert_eq!(answer.usage().completion_tokens as usize, answer.tokens.len());
        assert!(answer.usage().cached_tokens < answer.usage().prompt_tokens);
        if let Some(wanted) = wanted {
            assert_eq!(answer.tokens, vec![COMMA; wanted as usize]);
            assert_eq!(answer.text, ",".repeat(wanted as usize));
        }
    }
}

fn commas(max_tokens: u32) -> Sampling {
    Sampling { logit_bias: vec![LogitBias { token: COMMA, bias: 100.0 }], ..greedy(max_tokens) }
}

#[test]
fn whatever_comes_each_request_ends_once_and_no_cell_is_lost() {
    let mut engine = Engine::start();
    let load = Load { context_tokens: CELLS, sequences_max: 6, batch_tokens: 96, ..load_request() };
    engine.load(load).unwrap();
    let mut random = Random(11);
    let mut storm = Storm::default();
    let mut sent = 0;
    while sent < REQUESTS {
        while storm.open.len() < 14 && sent < REQUESTS {
            storm.send(&mut engine, &mut random);
            sent += 1;
            if random.below(5) == 0 {
                storm.cancel(&mut engine, &mut random);
            }
        }
        storm.receive(&mut engine);
        if !storm.open.is_empty() && random.below(60) == 0 {
            storm.cancel(&mut engine, &mut random);
        }
    }
    while !storm.open.is_empty() {
        storm.receive(&mut engine);
    }
    let heartbeat = engine.idle();
    assert!(heartbeat.steps > 1000, "{heartbeat:?}");
    assert!(heartbeat.prefixes_retained > 0);
    assert_eq!(heartbeat.cells_free + heartbeat.cells_retained, CELLS);
    // A prompt that needs all cells but one finds them.
    let all = engine.ask(raw(&" word".repeat(CELLS as usize - 1), greedy(1)));
    assert_eq!(all.usage().completion_tokens, 1);
    let heartbeat = engine.idle();
    assert!(heartbeat.cells_retained >= CELLS - 1, "{heartbeat:?}");
    assert_eq!(heartbeat.cells_free + heartbeat.cells_retained, CELLS);
}
