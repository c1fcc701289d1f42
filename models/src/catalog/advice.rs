//! How a model's makers advise to sample from it.

use serde::{Deserialize, Serialize};
use tandem_proto::v1::Sampling;

const TOP_K_MAX: u32 = 1_000_000;

/// How makers of a model advise to sample. What it does not speak of is left to the settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Advice {
    temperature: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repeat_penalty: Option<f32>,
}

impl Advice {
    /// Whether a request might say the same.
    pub(crate) fn is_sane(&self) -> bool {
        let Self { temperature, top_k, top_p, min_p, repeat_penalty } = *self;
        let within = |value: Option<f32>, low: f32, high: f32| {
            value.is_none_or(|value| (low..=high).contains(&value))
        };
        within(temperature, 0.0, 5.0)
            && top_k.is_none_or(|top_k| top_k <= TOP_K_MAX)
            && within(top_p, f32::MIN_POSITIVE, 1.0)
            && within(min_p, 0.0, 1.0)
            && within(repeat_penalty, 0.1, 10.0)
    }

    /// The same as a request says it.
    pub(crate) fn sampling(&self) -> Sampling {
        let Self { temperature, top_k, top_p, min_p, repeat_penalty } = *self;
        Sampling { temperature, top_k, top_p, min_p, repeat_penalty, ..Sampling::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_that_a_request_may_have_are_sane() {
        let advice = Advice { temperature: Some(0.0), top_p: Some(1.0), ..Advice::default() };
        assert!(Advice::default().is_sane() && advice.is_sane());
        for insane in [
            Advice { temperature: Some(f32::NAN), ..advice },
            Advice { temperature: Some(f32::INFINITY), ..advice },
            Advice { temperature: Some(-0.1), ..advice },
            Advice { top_k: Some(TOP_K_MAX + 1), ..advice },
            Advice { top_p: Some(0.0), ..advice },
            Advice { min_p: Some(1.1), ..advice },
            Advice { repeat_penalty: Some(0.0), ..advice },
        ] {
            assert!(!insane.is_sane(), "{insane:?}");
        }
    }
}
