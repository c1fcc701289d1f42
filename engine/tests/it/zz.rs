use crate::harness::{Engine, chat, greedy, load_request};
use tandem_proto::engine::Load;
#[test]
fn zz_batch_nofa() {
    let topics = ["the sea","a fox","trains","winter"];
    for fa in [false, true] {
    let mut engine = Engine::start();
    engine.load(Load{flash_attention: fa, ..load_request()}).unwrap();
    let rs: Vec<_> = topics.iter().map(|t| chat(&format!("Tell me about {t}."), greedy(64))).collect();
    let alone: Vec<_> = rs.iter().map(|r| engine.ask(r.clone())).collect();
    let ids: Vec<_> = rs.iter().map(|r| engine.generate(r.clone())).collect();
    let together = engine.answers(&ids);
    for (a, t) in alone.iter().zip(&together) {
        let same = a.tokens.iter().zip(&t.tokens).take_while(|(x,y)| x==y).count();
        eprintln!("ZZ fa {fa} alone/batch: same {} of {}, logprob {} {}", same, a.tokens.len(), a.logprob_sum, t.logprob_sum);
    }
    }
}
#[test]
fn zy_load() { for i in 0..150 { let mut e = Engine::start(); let r = e.load(load_request()); if let Err(x) = &r { eprintln!("ZZ load {i} {x} {:?}", e.wait()); } if i % 3 == 0 { eprintln!("ZZ {:?}", e.ask(chat("Hi", greedy(2))).tokens); } } }
use crate::harness::raw;
#[test]
fn zx_speed() {
    let mut engine = Engine::start();
    let l = engine.load(Load{context_tokens: 8192, ..load_request()}).unwrap();
    eprintln!("ZZ load {} ms", l.load_us/1000);
    for n in [1,4,8] {
        let ids: Vec<_> = (0..n).map(|i| engine.generate(raw(&format!("Story {i}: Once upon a time"), greedy(128)))).collect();
        let t = std::time::Instant::now();
        let a = engine.answers(&ids);
        let tok: usize = a.iter().map(|a| a.tokens.len()).sum();
        eprintln!("ZZ {n} seqs: {tok} tokens, {:.1} tok/s", tok as f64 / t.elapsed().as_secs_f64());
    }
    let a = engine.ask(raw(&"The quick brown fox jumps. ".repeat(170), greedy(1)));
    eprintln!("ZZ prefill {:?}", a.last.finish);
}
