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
