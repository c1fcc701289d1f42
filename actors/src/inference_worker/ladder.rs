//! What an engine gives up for the sake of the machine, and when.
//!
//! Threads, batches and the memory of kept prefixes follow the ladder at once. The context is made at
//! the load, so an engine has to be started anew for another one: only when the machine has wanted
//! that for a while, and back only when it wants nothing any more.

use std::time::Duration;

use tandem_config::KvCache;
use tandem_proto::engine::{Adjust, KvType, Load};
use tandem_proto::v1::Rung;

/// How long the machine must have wanted another context until an engine is started anew for it.
pub(crate) const DWELL: Duration = Duration::from_secs(5);

/// Tokens below which no context is shortened.
const CONTEXT_MIN: u32 = 1024;
/// The part of its context that an engine keeps.
const CONTEXT_DIVISOR: u32 = 2;
/// The part of its threads.
const THREADS_DIVISOR: u32 = 2;
/// The part of its batch, and of the memory of kept prefixes.
const BATCH_DIVISOR: u32 = 4;
/// Tokens below which no batch is made smaller.
const BATCH_MIN: u32 = 32;

/// The rungs that concern engines.
pub(super) const RUNGS: [Rung; 4] =
    [Rung::FewerThreads, Rung::SmallerBatch, Rung::ShorterContext, Rung::QuantizedKv];

/// What only another load changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    context_tokens: u32,
    quantized_kv: bool,
}

impl Shape {
    /// That of an engine which starts while these of [`RUNGS`] are in effect.
    pub(super) fn under(given_up: &[Rung], config: &tandem_config::Engine) -> Self {
        let configured = config.context_tokens;
        let context_tokens = if given_up.contains(&Rung::ShorterContext) {
            (configured / CONTEXT_DIVISOR).max(CONTEXT_MIN).min(configured)
        } else {
            configured
        };
        // Exact answers need keys and values as they are.
        let quantized_kv = config.kv_cache == KvCache::Q8_0
            || (given_up.contains(&Rung::QuantizedKv) && !config.exact);
        Self { context_tokens, quantized_kv }
    }

    /// Writes it into a load request.
    pub(super) fn apply(self, load: &mut Load) {
        load.context_tokens = self.context_tokens;
        load.set_kv_type(if self.quantized_kv { KvType::Q80 } else { KvType::Unspecified });
    }

    /// What of it is not as `configured`, for a person; empty when nothing is.
    pub(super) fn describe(self, configured: Self) -> String {
        let mut differences = Vec::new();
        if self.context_tokens != configured.context_tokens {
            differences.push(format!("context_tokens={}", self.context_tokens));
        }
        if self.quantized_kv != configured.quantized_kv {
            differences.push("kv_cache=q8_0".to_owned());
        }
        differences.join(" ")
    }

    /// Keeps what each has less of.
    fn and(self, other: Self) -> Self {
        Self {
            context_tokens: self.context_tokens.min(other.context_tokens),
            quantized_kv: self.quantized_kv || other.quantized_kv,
        }
    }
}

/// How an engine follows the ladder.
#[derive(Debug, Default)]
pub(super) struct Thrift {
    /// Of the engine that runs, or loads.
    shape: Shape,
    threads: u32,
    batch_tokens: u32,
    prefix_memory_bytes: u64,
    /// What it was told last.
    adjusted: Adjust,
    /// Another shape that is wanted, and since when.
    wanted: Option<(Shape, Duration)>,
}

impl Thrift {
    /// An engine is told to load.
    pub(super) fn loads(&mut self, load: &Load, shape: Shape) {
        let Load { batch_tokens, prefix_memory_bytes, .. } = *load;
        *self = Self { shape, batch_tokens, prefix_memory_bytes, ..Self::default() };
    }

    /// Whether that engine's shape is the configured one.
    pub(super) fn is_as_configured(&self, config: &tandem_config::Engine) -> bool {
        self.shape == Shape::under(&[], config)
    }

    /// It has, and computes with so many threads.
    pub(super) fn has_loaded(&mut self, threads: u32) {
        self.threads = threads;
    }

    /// What to tell the engine while these rungs are in effect, if that is something else than before.
    pub(super) fn adjust(&mut self, given_up: &[Rung]) -> Option<Adjust> {
        let mut adjust = Adjust::default();
        if given_up.contains(&Rung::FewerThreads) {
            adjust.threads = (self.threads / THREADS_DIVISOR).max(1);
        }
        if given_up.contains(&Rung::SmallerBatch) {
            adjust.batch_tokens = (self.batch_tokens / BATCH_DIVISOR).max(BATCH_MIN);
            // Nothing would mean: as at the load.
            adjust.prefix_memory_bytes =
                (self.prefix_memory_bytes / u64::from(BATCH_DIVISOR)).max(1);
        }
        (std::mem::replace(&mut self.adjusted, adjust) != adjust).then_some(adjust)
    }

    /// Whether the engine should be started anew, as with these rungs in effect its shape has been the
    /// wrong one for all of `dwell`. To be asked again and again.
    pub(super) fn is_due(
        &mut self,
        given_up: &[Rung],
        config: &tandem_config::Engine,
        now: Duration,
        dwell: Duration,
    ) -> bool {
        let shape = Shape::under(given_up, config);
        let target = if given_up.is_empty() { shape } else { shape.and(self.shape) };
        if target == self.shape {
            self.wanted = None;
            return false;
        }
        let since = match self.wanted {
            Some((wanted, since)) if wanted == target => since,
            _ => now,
        };
        self.wanted = Some((target, since));
        now.saturating_sub(since) >= dwell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> tandem_config::Engine {
        tandem_config::Engine { context_tokens: 8192, ..tandem_config::Engine::default() }
    }

    fn shape(context_tokens: u32, quantized_kv: bool) -> Shape {
        Shape { context_tokens, quantized_kv }
    }

    /// Those of the rungs that are in effect when the lowest of all is this one.
    fn down_to(rung: Rung) -> Vec<Rung> {
        RUNGS.into_iter().filter(|each| *each <= rung).collect()
    }

    /// How an engine follows that was loaded on this rung.
    fn loaded_on(rung: Rung) -> Thrift {
        let load = Load { batch_tokens: 512, prefix_memory_bytes: 1000, ..Load::default() };
        let mut thrift = Thrift::default();
        thrift.loads(&load, Shape::under(&down_to(rung), &config()));
        thrift.has_loaded(5);
        thrift
    }

    #[test]
    fn each_rung_takes_something_from_those_that_start_on_it() {
        let at = |rung| Shape::under(&down_to(rung), &config());
        assert_eq!(at(Rung::Full), shape(8192, false));
        assert_eq!(at(Rung::SmallerBatch), shape(8192, false));
        assert_eq!(at(Rung::ShorterContext), shape(4096, false));
        assert_eq!(at(Rung::QuantizedKv), shape(4096, true));
        assert_eq!(at(Rung::Template), shape(4096, true));
    }

    #[test]
    fn only_rungs_that_change_the_context_make_an_engine_another_than_configured() {
        for (rung, expected) in [
            (Rung::Full, true),
            (Rung::SmallerBatch, true),
            (Rung::ShorterContext, false),
            (Rung::QuantizedKv, false),
        ] {
            assert_eq!(loaded_on(rung).is_as_configured(&config()), expected, "{rung:?}");
        }
    }

    #[test]
    fn a_rung_that_is_left_out_takes_nothing() {
        let quantized = Shape::under(&[Rung::QuantizedKv], &config());
        assert_eq!(quantized, shape(8192, true));
        let adjust = loaded_on(Rung::Full).adjust(&[Rung::SmallerBatch]);
        assert_eq!(adjust.map(|adjust| (adjust.threads, adjust.batch_tokens)), Some((0, 128)));
    }

    #[test]
    fn a_short_context_stays_and_exact_answers_keep_their_bits() {
        for (configured, shortened) in [(1500, 1024), (1024, 1024), (300, 300)] {
            let config = tandem_config::Engine { context_tokens: configured, ..config() };
            assert_eq!(Shape::under(&RUNGS, &config), shape(shortened, true));
        }
        let exact = tandem_config::Engine { exact: true, ..config() };
        assert_eq!(Shape::under(&RUNGS, &exact), shape(4096, false));
    }

    #[test]
    fn a_shape_is_described_by_what_is_not_as_configured() {
        let configured = shape(8192, false);
        assert_eq!(configured.describe(configured), "");
        assert_eq!(shape(4096, false).describe(configured), "context_tokens=4096");
        let both = shape(4096, true).describe(configured);
        assert_eq!(both, "context_tokens=4096 kv_cache=q8_0");
        assert_eq!(shape(8192, true).describe(shape(8192, true)), "");
    }

    #[test]
    fn an_engine_is_told_once_what_it_can_have() {
        let mut thrift = loaded_on(Rung::Full);
        assert_eq!(thrift.adjust(&down_to(Rung::Full)), None);
        let fewer = Adjust { threads: 2, ..Adjust::default() };
        assert_eq!(thrift.adjust(&down_to(Rung::FewerThreads)), Some(fewer));
        assert_eq!(thrift.adjust(&down_to(Rung::FewerThreads)), None);
        let smaller = Adjust { batch_tokens: 128, prefix_memory_bytes: 250, ..fewer };
        assert_eq!(thrift.adjust(&down_to(Rung::Remote)), Some(smaller));
        assert_eq!(thrift.adjust(&down_to(Rung::Full)), Some(Adjust::default()));
        assert_eq!(loaded_on(Rung::Full).adjust(&[]), None);
    }

    #[test]
    fn little_is_not_made_nothing() {
        let mut thrift = Thrift::default();
        thrift.loads(&Load { batch_tokens: 40, ..Load::default() }, Shape::default());
        thrift.has_loaded(1);
        let least = Adjust { threads: 1, batch_tokens: 32, prefix_memory_bytes: 1 };
        assert_eq!(thrift.adjust(&down_to(Rung::Template)), Some(least));
    }

    #[test]
    fn an_engine_starts_anew_when_another_shape_was_wanted_for_long_enough() {
        let (config, second) = (config(), Duration::from_secs(1));
        let mut thrift = loaded_on(Rung::Full);
        let mut due =
            |rung, now: u32| thrift.is_due(&down_to(rung), &config, now * second, 5 * second);
        assert!(!due(Rung::ShorterContext, 0));
        assert!(!due(Rung::ShorterContext, 4));
        assert!(!due(Rung::SmallerBatch, 4), "it changed its mind");
        assert!(!due(Rung::ShorterContext, 5));
        assert!(!due(Rung::QuantizedKv, 9), "and again");
        assert!(!due(Rung::Remote, 13));
        assert!(due(Rung::QuantizedKv, 14));
        assert!(due(Rung::QuantizedKv, 99), "until it happens");
    }

    #[test]
    fn nothing_is_taken_back_before_all_is_well() {
        let (config, second) = (config(), Duration::from_secs(1));
        let mut thrift = loaded_on(Rung::QuantizedKv);
        let mut due =
            |rung, now: u32| thrift.is_due(&down_to(rung), &config, now * second, 5 * second);
        for (now, rung) in
            [Rung::ShorterContext, Rung::SmallerBatch, Rung::FewerThreads].into_iter().enumerate()
        {
            let now = 10 * u32::try_from(now).unwrap_or_default();
            assert!(!due(rung, now) && !due(rung, now + 9), "{rung:?}");
        }
        assert!(!due(Rung::Full, 40));
        assert!(due(Rung::Full, 45));
    }
}
