//! Numbers.

use std::{fmt::Display, ops::RangeInclusive};

use serde_json::{Value, json};

use super::Kind;
use crate::source::Node;

/// A whole number.
pub(crate) struct Integer<N>(pub(crate) RangeInclusive<N>);

impl<N: TryFrom<i64> + PartialOrd + Display + Copy> Kind<N> for Integer<N>
where
    Value: From<N>,
{
    fn read(&self, node: &Node) -> Option<N> {
        N::try_from(node.integer()?).ok().filter(|number| self.0.contains(number))
    }

    fn write(&self, value: &N) -> Option<String> {
        Some(value.to_string())
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.0.start(), self.0.end())
    }

    fn schema(&self) -> Value {
        json!({ "type": "integer", "minimum": Value::from(*self.0.start()), "maximum": Value::from(*self.0.end()) })
    }
}

/// A number from 0 to 1.
pub(crate) struct Fraction;

impl Kind<f64> for Fraction {
    fn read(&self, node: &Node) -> Option<f64> {
        node.float().filter(|number| (0.0..=1.0).contains(number))
    }

    fn write(&self, value: &f64) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn allowed(&self) -> String {
        "a number from 0 to 1".into()
    }

    fn schema(&self) -> Value {
        json!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

/// The natural logarithm of a probability.
pub(crate) struct LogProbability;

impl Kind<f64> for LogProbability {
    fn read(&self, node: &Node) -> Option<f64> {
        node.float().filter(|number| (-100.0..=0.0).contains(number))
    }

    fn write(&self, value: &f64) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn allowed(&self) -> String {
        "a number from -100 to 0".into()
    }

    fn schema(&self) -> Value {
        json!({ "type": "number", "minimum": -100, "maximum": 0 })
    }
}

/// A sampling temperature.
pub(crate) struct Temperature;

impl Kind<f64> for Temperature {
    fn read(&self, node: &Node) -> Option<f64> {
        node.float().filter(|number| (0.0..=5.0).contains(number))
    }

    fn write(&self, value: &f64) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn allowed(&self) -> String {
        "a number from 0 to 5".into()
    }

    fn schema(&self) -> Value {
        json!({ "type": "number", "minimum": 0, "maximum": 5 })
    }
}

/// How many get a feature: all, none, or a number from 0 to 1.
pub(crate) struct Share;

impl Kind<f64> for Share {
    fn read(&self, node: &Node) -> Option<f64> {
        node.boolean().map(|all| if all { 1.0 } else { 0.0 }).or_else(|| Fraction.read(node))
    }

    fn write(&self, value: &f64) -> Option<String> {
        match *value {
            value if value >= 1.0 => Some("true".into()),
            value if value <= 0.0 => Some("false".into()),
            value => Fraction.write(&value),
        }
    }

    fn allowed(&self) -> String {
        "true, false, or the share that gets it, a number from 0 to 1".into()
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "type": "boolean" }, Fraction.schema()] })
    }
}

/// An amount of money, kept in millionths.
pub(crate) struct Amount;

impl Amount {
    const MICROS: u32 = 1_000_000;
    const MAX: f64 = 1e9;
}

impl Kind<u64> for Amount {
    fn read(&self, node: &Node) -> Option<u64> {
        let amount = node.float().filter(|amount| (0.0..=Self::MAX).contains(amount))?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 10^15 and not below 0"
        )]
        Some((amount * f64::from(Self::MICROS)).round() as u64)
    }

    fn write(&self, value: &u64) -> Option<String> {
        let (whole, micros) = (value / u64::from(Self::MICROS), value % u64::from(Self::MICROS));
        let fraction = format!(".{micros:06}");
        Some(format!("{whole}{}", fraction.trim_end_matches('0').trim_end_matches('.')))
    }

    fn allowed(&self) -> String {
        "an amount from 0 to 1000000000, such as 2.5, in the currency of router.budget.currency"
            .into()
    }

    fn schema(&self) -> Value {
        json!({ "type": "number", "minimum": 0, "maximum": Self::MAX })
    }
}
