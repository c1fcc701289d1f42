use crate::harness::{Engine, chat, greedy, seeded, raw, load_request};
use tandem_proto::engine::{Generate,Load};
#[test]
fn zz_resume_rate() {
    let mut engine = Engine::loaded();
    let (mut bad, mut all) = (0, 0);
    for (n, topic) in ["the sea","a fox","trains","winter","music","bread","the moon","a river"].iter().enumerate() {
        let r = chat(&format!("Tell me about {topic}."), seeded(n as u64, 64));
        let whole = engine.ask(r.clone());
        for cut in [3, whole.tokens.len()/2, whole.tokens.len()-2] {
            let rest = engine.ask(Generate { resume_tokens: whole.tokens[..cut].to_vec(), ..r.clone() });
            all += 1; if rest.tokens != whole.tokens[cut..] { bad += 1; }
        }
    }
    eprintln!("ZZ resume diverged {bad} of {all}");
}
#[test]
fn zz_batch_rate() {
    let mut engine = Engine::loaded();
    let topics = ["the sea","a fox","trains","winter","music","bread","the moon","a river"];
    let rs: Vec<_> = topics.iter().map(|t| chat(&format!("Tell me about {t}."), greedy(64))).collect();
    let alone: Vec<_> = rs.iter().map(|r| engine.ask(r.clone())).collect();
    let ids: Vec<_> = rs.iter().map(|r| engine.generate(r.clone())).collect();
    let together = engine.answers(&ids);
    for (a, t) in alone.iter().zip(&together) {
        let same = a.tokens.iter().zip(&t.tokens).take_while(|(x,y)| x==y).count();
        eprintln!("ZZ alone/batch: same {} of {}, logprob {} {}", same, a.tokens.len(), a.logprob_sum, t.logprob_sum);
    }
}
#[test]
fn zz_speed() {
    for fa in [true, false] {
    let mut engine = Engine::start();
    let l = engine.load(Load{flash_attention: fa, context_tokens: 8192, ..load_request()}).unwrap();
    eprintln!("ZZ load {} ms", l.load_us/1000);
    for n in [1,4,8] {
        let ids: Vec<_> = (0..n).map(|i| engine.generate(raw(&format!("Story {i}: Once upon a time"), greedy(128)))).collect();
        let t = std::time::Instant::now();
        let a = engine.answers(&ids);
        let tok: usize = a.iter().map(|a| a.tokens.len()).sum();
        eprintln!("ZZ fa {fa} {n} seqs: {tok} tokens, {:.1} tok/s, one says {:?}", tok as f64 / t.elapsed().as_secs_f64(), a[0].last.finish.as_ref().unwrap().timings);
    }
    let a = engine.ask(raw(&"The quick brown fox jumps. ".repeat(170), greedy(1)));
    eprintln!("ZZ prefill {:?}", a.last.finish);
    }
}
