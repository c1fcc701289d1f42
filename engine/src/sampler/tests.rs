//! The sampler against a plain reference that sorts everything and works in double precision.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "tests"
)]

use super::*;
use crate::sampling::tests::neutral;

/// Logits like a model's: most far below the peak, some equal.
fn row(size: usize, seed: u64) -> Vec<f32> {
    (0..size as u64)
        .map(|index| {
            let value = random::uniform(seed, index);
            // Steps of an eighth make ties.
            ((value * value * value * 200.0) as f32 - 100.0).round() / 8.0
        })
        .collect()
}

fn draw(
    sampler: &mut Sampler,
    row: &[f32],
    settings: &Settings,
    history: &[u32],
    index: u64,
) -> Result<Draw, NotFinite> {
    sampler.sample(row, settings, history, index, Limits::default())
}

fn softmax(logits: &[(u32, f64)], temperature: f64) -> Vec<(u32, f64)> {
    let peak = logits.iter().map(|entry| entry.1).fold(f64::MIN, f64::max);
    let weight = |logit: f64| ((logit - peak) / temperature).exp();
    let total: f64 = logits.iter().map(|&(_, logit)| weight(logit)).sum();
    logits.iter().map(|&(token, logit)| (token, weight(logit) / total)).collect()
}

fn keep(logits: &[(u32, f64)], tokens: &[u32]) -> Vec<(u32, f64)> {
    logits.iter().copied().filter(|(token, _)| tokens.contains(token)).collect()
}

/// What the documentation of the settings says, step by step.
fn reference(row: &[f32], settings: &Settings, history: &[u32], index: u64) -> u32 {
    let mut logits: Vec<(u32, f64)> =
        row.iter().enumerate().map(|(token, &logit)| (token as u32, f64::from(logit))).collect();
    for &(token, bias) in &settings.logit_bias {
        logits[token as usize].1 += f64::from(bias);
    }
    let recent = &history[history.len().saturating_sub(settings.repeat_last_n)..];
    for (token, logit) in &mut logits {
        let count = recent.iter().filter(|seen| *seen == token).count();
        if count > 0 {
            let penalty = f64::from(settings.repeat_penalty);
            *logit = if *logit <= 0.0 { *logit * penalty } else { *logit / penalty };
            *logit -= count as f64 * f64::from(settings.frequency_penalty);
            *logit -= f64::from(settings.presence_penalty);
        }
    }
    logits.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if settings.temperature == 0.0 {
        return logits[0].0;
    }
    if settings.top_k > 0 {
        logits.truncate(settings.top_k);
    }
    if settings.typical_p < 1.0 {
        let probabilities = softmax(&logits, 1.0);
        let entropy: f64 = probabilities.iter().map(|(_, p)| -p * p.ln()).sum();
        let mut ranked = probabilities;
        ranked.sort_by(|a, b| (-a.1.ln() - entropy).abs().total_cmp(&(-b.1.ln() - entropy).abs()));
        let mut sum = 0.0;
        let before = |p: f64| {
            let enough = sum > f64::from(settings.typical_p);
            sum += p;
            !enough
        };
        let mut before = before;
        let kept: Vec<u32> = ranked.iter().take_while(|(_, p)| before(*p)).map(|e| e.0).collect();
        logits = keep(&logits, &kept);
    }
    if settings.top_p < 1.0 {
        let mut sum = 0.0;
        let mut kept = Vec::new();
        for (token, p) in softmax(&logits, 1.0) {
            kept.push(token);
            sum += p;
            if sum >= f64::from(settings.top_p) {
                break;
            }
        }
        logits = keep(&logits, &kept);
    }
    let peak = logits[0].1;
    logits.retain(|(_, logit)| (logit - peak).exp() >= f64::from(settings.min_p) * (1.0 - 1e-6));
    let candidates = logits.len();
    logits.sort_by_key(|(token, _)| *token);
    let point = random::uniform(settings.seed, index);
    let mut sum = 0.0;
    for (token, p) in softmax(&logits, f64::from(settings.temperature)) {
        sum += p;
        if point < sum {
            return token;
        }
    }
    logits[candidates - 1].0
}

fn variants() -> Vec<Settings> {
    let base = neutral();
    vec![
        Settings { temperature: 0.0, ..base.clone() },
        Settings { temperature: 0.0, logit_bias: vec![(17, 30.0), (3, -9.0)], ..base.clone() },
        Settings { temperature: 0.0, repeat_penalty: 1.7, ..base.clone() },
        base.clone(),
        Settings { temperature: 0.3, ..base.clone() },
        Settings { top_k: 1, ..base.clone() },
        Settings { top_k: 7, temperature: 2.0, ..base.clone() },
        Settings { top_k: 500, top_p: 0.9, ..base.clone() },
        Settings { top_p: 0.6, ..base.clone() },
        Settings { min_p: 0.07, temperature: 1.5, ..base.clone() },
        Settings { typical_p: 0.5, ..base.clone() },
        Settings { typical_p: 0.97, temperature: 1e-30, ..base.clone() },
        Settings { typical_p: 0.8, top_p: 0.7, min_p: 0.01, ..base.clone() },
        Settings { top_k: 60, typical_p: 0.8, top_p: 0.7, min_p: 0.01, ..base.clone() },
        Settings { repeat_penalty: 1.3, repeat_last_n: 8, ..base.clone() },
        Settings { presence_penalty: 2.0, frequency_penalty: 0.7, ..base.clone() },
        Settings {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.03,
            repeat_penalty: 1.1,
            logit_bias: vec![(5, 4.0), (900, -100.0)],
            ..base
        },
    ]
}

#[test]
fn every_combination_of_settings_draws_what_the_reference_draws() {
    let mut sampler = Sampler::default();
    let mut disagreements = 0;
    for size in [1, 5, 63, 64, 65, 1_000, 3_001] {
        let history: Vec<u32> = (0..100).map(|n| (n * n) % size as u32).collect();
        for (variant, settings) in variants().into_iter().enumerate() {
            let fits = settings.logit_bias.iter().all(|(token, _)| (*token as usize) < size);
            if !fits {
                continue;
            }
            for index in 0..20 {
                let settings = Settings { seed: index * 31, ..settings.clone() };
                let row = row(size, index);
                let drawn = draw(&mut sampler, &row, &settings, &history, index).unwrap().token;
                if drawn != reference(&row, &settings, &history, index) {
                    disagreements += 1;
                    assert!(disagreements < 4, "variant {variant}, size {size}, index {index}");
                }
            }
        }
    }
}

#[test]
fn greedy_takes_the_lowest_of_equal_tokens() {
    let settings = Settings { temperature: 0.0, ..neutral() };
    let mut row = vec![0.0; 100];
    row[41] = 3.0;
    row[73] = 3.0;
    let draw = draw(&mut Sampler::default(), &row, &settings, &[], 0).unwrap();
    assert_eq!(draw.token, 41);
}

#[test]
fn log_probabilities_are_those_of_the_row_before_any_setting() {
    let row = row(5_000, 9);
    let settings = Settings { temperature: 3.0, top_k: 50, repeat_penalty: 2.0, ..neutral() };
    let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
    let mut sampler = Sampler::default();
    for index in 0..50 {
        let draw = draw(&mut sampler, &row, &settings, &[1, 2, 3], index).unwrap();
        let exact = f64::from(row[draw.token as usize]) - total.ln();
        assert!((f64::from(draw.reading.logprob) - exact).abs() < 1e-5, "{draw:?} {exact}");
    }
}

#[test]
fn entropy_and_margin_are_those_of_the_row_before_any_setting() {
    let settings = Settings { temperature: 3.0, top_k: 5, repeat_penalty: 2.0, ..neutral() };
    // With and without a rest that does not fill a vector, also one that holds the likeliest.
    for (size, shift) in [(1, 0), (2, 0), (17, 16), (1_000, 999), (5_000, 0), (49_152, 0)] {
        for seed in 0..5 {
            let mut row = row(size, seed);
            row[shift] += 9.0;
            let mut sorted: Vec<f64> =
                softmax(&row.iter().map(|&logit| (0, f64::from(logit))).collect::<Vec<_>>(), 1.0)
                    .into_iter()
                    .map(|(_, probability)| probability)
                    .collect();
            sorted.sort_unstable_by(|a, b| b.total_cmp(a));
            let entropy: f64 = sorted.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
            let margin = sorted[0] - sorted.get(1).copied().unwrap_or_default();
            let reading = draw(&mut Sampler::default(), &row, &settings, &[1], 0).unwrap().reading;
            assert!((f64::from(reading.entropy) - entropy).abs() < 1e-4, "{reading:?} {entropy}");
            assert!((f64::from(reading.margin) - margin).abs() < 1e-5, "{reading:?} {margin}");
        }
    }
}

#[test]
fn what_is_observed_reads_like_what_was_drawn() {
    let (row, settings) = (row(3_000, 5), neutral());
    let mut sampler = Sampler::default();
    for index in 0..20 {
        let drawn = draw(&mut sampler, &row, &settings, &[], index).unwrap();
        let observed = sampler.observe(&row, &settings, &[], drawn.token, Limits::default());
        assert_eq!(observed, Ok(drawn.reading));
    }
}

#[test]
fn the_likeliest_tokens_are_listed_in_order() {
    let row = row(2_000, 3);
    let mut sampler = Sampler::default();
    let draw = draw(&mut sampler, &row, &neutral(), &[], 0).unwrap();
    let mut sorted: Vec<u32> = (0..2_000).collect();
    sorted.sort_by(|a, b| row[*b as usize].total_cmp(&row[*a as usize]).then(a.cmp(b)));
    for count in [0, 1, 20] {
        let listed: Vec<(u32, f32)> = sampler.likeliest(&row, &draw, count).collect();
        let tokens: Vec<u32> = listed.iter().map(|entry| entry.0).collect();
        assert_eq!(tokens, sorted[..count]);
        assert!(listed.iter().all(|(_, logprob)| *logprob <= 0.0));
    }
}

#[test]
fn a_row_with_anything_but_numbers_is_refused() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for position in [0, 15, 16, 999] {
            let mut row = row(1_000, 1);
            row[position] = bad;
            let drawn = draw(&mut Sampler::default(), &row, &neutral(), &[], 0);
            assert_eq!(drawn, Err(NotFinite));
        }
    }
    assert_eq!(draw(&mut Sampler::default(), &[], &neutral(), &[], 0), Err(NotFinite));
}

#[test]
fn draws_follow_the_distribution() {
    let row = [1.0, 0.0, -1.0, 0.5];
    let mut counts = [0_u32; 4];
    let mut sampler = Sampler::default();
    for index in 0..20_000 {
        let draw = draw(&mut sampler, &row, &neutral(), &[], index).unwrap();
        counts[draw.token as usize] += 1;
    }
    let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
    for (token, &count) in counts.iter().enumerate() {
        let expected = f64::from(row[token]).exp() / total;
        assert!((f64::from(count) / 20_000.0 - expected).abs() < 0.015, "{counts:?}");
    }
}

/// One bit a token, set for those that `is` holds for.
fn bits(size: usize, is: impl Fn(usize) -> bool) -> Vec<u32> {
    let mut words = vec![0; size.div_ceil(32)];
    (0..size).filter(|&token| is(token)).for_each(|token| words[token / 32] |= 1 << (token % 32));
    words
}

#[test]
fn what_is_not_allowed_is_never_chosen_and_the_rest_is_chosen_as_if_alone() {
    let size = 1_000;
    let mut sampler = Sampler::default();
    for (index, settings) in (0..).zip(variants()) {
        let row = row(size, index);
        let allowed = bits(size, |token| token % 37 == 5);
        let limits = Limits { allowed: Some(&allowed), ..Limits::default() };
        let drawn = sampler.sample(&row, &settings, &[5, 42], index, limits).unwrap();
        assert_eq!(drawn.token % 37, 5, "variant {index}");
        // A forbidden token far below the others is no token at all.
        let alone: Vec<f32> =
            (0..size).map(|token| if token % 37 == 5 { row[token] } else { -1e9 }).collect();
        assert_eq!(drawn.token, reference(&alone, &settings, &[5, 42], index), "variant {index}");
        let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
        let exact = f64::from(row[drawn.token as usize]) - total.ln();
        assert!(
            (f64::from(drawn.reading.logprob) - exact).abs() < 1e-5,
            "the model's own probability"
        );
    }
}

#[test]
fn a_single_allowed_token_is_chosen_whatever_the_settings() {
    let mut row = vec![10.0; 300];
    row[299] = -80.0;
    let allowed = bits(300, |token| token == 299);
    for settings in variants().into_iter().filter(|settings| settings.logit_bias.is_empty()) {
        let mut mirostat = Mirostat::new(0.5, 0.1);
        for mirostat in [None, Some(&mut mirostat)] {
            let limits = Limits { allowed: Some(&allowed), mirostat };
            let drawn = Sampler::default().sample(&row, &settings, &[], 3, limits).unwrap();
            assert_eq!(drawn.token, 299, "{settings:?}");
        }
    }
}

#[test]
fn mirostat_holds_the_surprise_near_its_target() {
    let (target, temperature) = (3.0_f32, 1.3);
    let settings = Settings { temperature, ..neutral() };
    let mut mirostat = Mirostat::new(target, 0.1);
    let mut sampler = Sampler::default();
    let mut sum = 0.0;
    for index in 0..2_000 {
        let row: Vec<f32> = row(2_000, index).iter().map(|logit| logit * 0.6).collect();
        let before = mirostat;
        let limits = Limits { mirostat: Some(&mut mirostat), ..Limits::default() };
        let token = sampler.sample(&row, &settings, &[], index, limits).unwrap().token;
        let mut replayed = before;
        let limits = Limits { mirostat: Some(&mut replayed), ..Limits::default() };
        sampler.observe(&row, &settings, &[], token, limits).unwrap();
        assert_eq!(replayed, mirostat, "a replay learns what the draw learned");
        // What it learned is how surprising the token was.
        sum += f64::from(target)
            - f64::from((mirostat.depth() - before.depth()) / 0.1) / std::f64::consts::LN_2;
    }
    let mean = sum / 2_000.0;
    assert!((mean - f64::from(target)).abs() < 0.1, "{mean} bits");
}
