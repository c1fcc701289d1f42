use crate::harness::{Engine, chat, greedy};
use tandem_proto::v1::Sampling;
#[test]
fn zz_batch_diff() {
    let topics = ["the sea","a fox","trains","winter"];
    for n in [1usize, 2, 4] {
    let mut engine = Engine::loaded();
    let rs: Vec<_> = topics.iter().map(|t| chat(&format!("Tell me about {t}."), Sampling{logprobs: Some(2), ..greedy(12)})).collect();
    let alone = engine.ask(rs[0].clone());
    let again = engine.ask(rs[0].clone());
    let ids: Vec<_> = (0..n).map(|i| engine.generate(rs[i].clone())).collect();
    let together = engine.answers(&ids);
    for ((a, b), t) in alone.logprobs.iter().zip(&again.logprobs).zip(&together[0].logprobs) {
        eprintln!("ZZ {n} {} {} {} {:.5} {:.5} {:.5} margin {:.4}", a.token, b.token, t.token, a.logprob, b.logprob, t.logprob, a.alternatives[0].logprob - a.alternatives[1].logprob);
    }
    }
}
