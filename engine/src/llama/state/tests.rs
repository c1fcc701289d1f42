#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::llama::{Batch, ContextSettings, fixture};

const SETTINGS: ContextSettings = ContextSettings {
    tokens: 2048,
    sequences: 4,
    spare_sequences: 0,
    spare_rows: 0,
    batch: 512,
    threads: 2,
    flash_attention: true,
    exact: false,
    quantized_kv: false,
};

fn context(settings: ContextSettings) -> Context {
    Context::new(fixture::model(), settings).unwrap()
}

/// Tokens that every vocabulary has.
fn prompt(length: u32) -> Vec<u32> {
    (0..length).map(|n| n.wrapping_mul(97) % 1000).collect()
}

/// Decodes tokens behind `position` and returns the bits of the last one's logits.
fn decode(context: &mut Context, sequence: u32, tokens: &[u32], position: u32) -> Vec<u32> {
    let mut logits = Vec::new();
    let mut position = position;
    for chunk in tokens.chunks(SETTINGS.batch as usize) {
        let mut batch = Batch::default();
        let mut row = 0;
        for (index, &token) in chunk.iter().enumerate() {
            row = batch.push(token, position, sequence, index + 1 == chunk.len());
            position += 1;
        }
        context.decode(&mut batch).unwrap();
        logits = context.logits(row).unwrap().iter().map(|logit| logit.to_bits()).collect();
    }
    logits
}

#[test]
fn a_sequence_goes_on_bit_for_bit_after_it_was_saved_and_restored_elsewhere() {
    let mut context = context(SETTINGS);
    let prompt = prompt(300);
    let next = [prompt[7], prompt[11]];
    decode(&mut context, 0, &prompt, 0);
    let direct = decode(&mut context, 0, &next, 300);

    context.clear();
    decode(&mut context, 0, &prompt, 0);
    let state = context.save_sequence(0).unwrap();
    assert_eq!(state.len(), context.saved_bytes(0), "saving leaves the sequence as it is");
    context.clear();
    context.restore_sequence(2, 300, &state).unwrap();
    assert_eq!(decode(&mut context, 2, &next, 300), direct);

    // What the sequence held before does not shine through, and the state can be used again.
    context.restore_sequence(2, 300, &state).unwrap();
    assert_eq!(context.save_sequence(2).unwrap().len(), state.len());
    context.truncate(2, 0);
    context.restore_sequence(3, 300, &state).unwrap();
    assert_eq!(decode(&mut context, 3, &next, 300), direct);
}

#[test]
fn a_cut_or_foreign_state_leaves_the_sequence_empty_and_the_context_usable() {
    let mut context = context(SETTINGS);
    let prompt = prompt(40);
    decode(&mut context, 0, &prompt, 0);
    let good = context.save_sequence(0).unwrap();
    let direct = decode(&mut context, 0, &prompt[..1], 40);
    context.clear();

    let mut bad: Vec<Vec<u8>> = (0..64)
        .chain((0..good.len()).step_by(good.len() / 50))
        .map(|n| good[..n].to_vec())
        .collect();
    bad.push(good[..good.len() - 1].to_vec());
    bad.push(good.iter().copied().chain([0]).collect());
    bad.push(vec![0; good.len()]);
    bad.push(b"TANDEMKV and some text".to_vec());
    // Magic, number of streams, number of cells.
    for place in [0, 8, 12, 13, 14, 15] {
        let mut changed = good.clone();
        changed[place] ^= 0x41;
        bad.push(changed);
    }
    for (index, state) in bad.iter().enumerate() {
        decode(&mut context, 1, &prompt[..3], 0);
        let refused = context.restore_sequence(1, 40, state);
        assert!(refused.is_err(), "{index}, {} bytes", state.len());
        assert_eq!((context.saved_bytes(1), index), (0, index));
    }
    context.restore_sequence(1, 40, &good).unwrap();
    assert_eq!(decode(&mut context, 1, &prompt[..1], 40), direct);
}

#[test]
fn a_state_of_another_length_is_refused() {
    let mut context = context(SETTINGS);
    let prompt = prompt(20);
    decode(&mut context, 0, &prompt, 0);
    let state = context.save_sequence(0).unwrap();
    let error = context.restore_sequence(1, 21, &state).unwrap_err();
    assert!(matches!(error, RestoreError::WrongLength { expected: 21, found: 20 }), "{error}");
    assert_eq!(context.saved_bytes(1), 0);
    assert!(context.saved_bytes(0) > 0, "other sequences are left alone");
}

#[test]
fn a_state_that_finds_no_room_can_be_restored_when_there_is_some() {
    let mut context = context(ContextSettings { tokens: 512, ..SETTINGS });
    let prompt = prompt(300);
    decode(&mut context, 0, &prompt, 0);
    let state = context.save_sequence(0).unwrap();
    let error = context.restore_sequence(1, 300, &state).unwrap_err();
    assert!(matches!(error, RestoreError::NoRoom), "{error}");
    assert_eq!(context.saved_bytes(1), 0);
    assert_eq!(context.save_sequence(0).unwrap(), state);
    context.truncate(0, 0);
    context.restore_sequence(1, 300, &state).unwrap();
}

#[test]
fn a_state_without_flash_attention_does_not_fit_a_context_with_it() {
    let mut without = context(ContextSettings { flash_attention: false, ..SETTINGS });
    let prompt = prompt(20);
    decode(&mut without, 0, &prompt, 0);
    let state = without.save_sequence(0).unwrap();
    let error = context(SETTINGS).restore_sequence(0, 20, &state).unwrap_err();
    assert!(matches!(error, RestoreError::Refused), "{error}");
}

#[test]
fn unknown_and_empty_sequences_are_refused() {
    let mut context = context(SETTINGS);
    assert!(matches!(context.save_sequence(0), Err(SaveError::Empty(0))));
    assert!(matches!(context.save_sequence(4), Err(SaveError::UnknownSequence(4))));
    assert!(matches!(
        context.restore_sequence(u32::MAX, 1, &[]),
        Err(RestoreError::UnknownSequence(u32::MAX))
    ));
    assert_eq!(context.saved_bytes(4), 0);
}
