#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::llama::{ContextSettings, fixture};
use crate::vocabulary::Vocabulary;

fn context(exact: bool, tokens: u32) -> Context {
    let settings = ContextSettings {
        tokens,
        sequences: 4,
        spare_sequences: 16,
        spare_rows: 16,
        batch: 256,
        threads: 2,
        flash_attention: true,
        exact,
        quantized_kv: false,
    };
    Context::new(fixture::model(), settings).unwrap()
}

#[test]
fn an_exact_context_computes_alike_in_every_way() {
    let mut context = context(true, 1024);
    require(&context).unwrap();
    check(&mut context, 49_152, 2).unwrap();
    assert_eq!(context.held(0), 0, "nothing is left of the check");
}

#[test]
fn an_ordinary_context_is_found_out() {
    let vocabulary = fixture::model().size();
    let mut context = context(false, 1024);
    let batch = Batch::default();
    let mut trial = Trial { context: &mut context, vocabulary, threads: 2, batch };
    let found = compare(&mut trial).unwrap_err();
    assert!(matches!(found, Inexact::Model(Way::Parts(64))), "{found}");
    assert!(matches!(require(trial.context), Err(Inexact::Context(..))));
}

#[test]
fn a_context_that_is_too_small_to_tell_is_refused() {
    let refused = require(&context(true, 512)).unwrap_err();
    assert!(refused.to_string().contains("at least 601 tokens and 87 per step"), "{refused}");
}
