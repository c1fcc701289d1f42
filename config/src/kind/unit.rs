//! Numbers with a unit: times and sizes.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use serde_json::{Value, json};

use super::{Kind, quoted};
use crate::{HedgeAfter, source::Node};

/// A span of time, to the millisecond.
pub(crate) struct Time(pub(crate) RangeInclusive<Duration>);

impl Time {
    const UNITS: [(&'static str, u64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
}

impl Kind<Duration> for Time {
    fn read(&self, node: &Node) -> Option<Duration> {
        let milliseconds = match node.integer() {
            Some(seconds) => u64::try_from(seconds).ok()?.checked_mul(1_000)?,
            None => with_unit(node.text()?, &Self::UNITS)?,
        };
        Some(Duration::from_millis(milliseconds)).filter(|time| self.0.contains(time))
    }

    fn write(&self, value: &Duration) -> Option<String> {
        Some(match value.subsec_millis() {
            0 => format!("\"{}s\"", value.as_secs()),
            _ => format!("\"{}ms\"", value.as_millis()),
        })
    }

    fn allowed(&self) -> String {
        let [from, to] =
            [self.0.start(), self.0.end()].map(|time| in_units(time.as_millis(), &Self::UNITS));
        format!("a time from {from} to {to}, such as \"300s\", \"5m\" or \"250ms\"")
    }

    fn schema(&self) -> Value {
        with_unit_schema(self.0.end().as_secs(), &Self::UNITS)
    }
}

/// A span of time that may be left to the daemon.
pub(crate) struct AutoOrTime(pub(crate) RangeInclusive<Duration>);

impl Kind<HedgeAfter> for AutoOrTime {
    fn read(&self, node: &Node) -> Option<HedgeAfter> {
        if node.text() == Some("auto") {
            return Some(HedgeAfter::Auto);
        }
        Time(self.0.clone()).read(node).map(HedgeAfter::Time)
    }

    fn write(&self, value: &HedgeAfter) -> Option<String> {
        match value {
            HedgeAfter::Auto => Some(quoted("auto")),
            HedgeAfter::Time(time) => Time(self.0.clone()).write(time),
        }
    }

    fn allowed(&self) -> String {
        format!("\"auto\" or {}", Time(self.0.clone()).allowed())
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "const": "auto" }, Time(self.0.clone()).schema()] })
    }
}

/// A number of bytes.
pub(crate) struct Size(pub(crate) RangeInclusive<u64>);

impl Size {
    const UNITS: [(&'static str, u64); 4] =
        [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
}

impl<N: TryFrom<u64> + Display> Kind<N> for Size {
    fn read(&self, node: &Node) -> Option<N> {
        let bytes = match node.integer() {
            Some(bytes) => u64::try_from(bytes).ok()?,
            None => with_unit(node.text()?, &Self::UNITS)?,
        };
        self.0.contains(&bytes).then(|| N::try_from(bytes).ok())?
    }

    fn write(&self, value: &N) -> Option<String> {
        Some(value.to_string())
    }

    fn allowed(&self) -> String {
        let [from, to] =
            [self.0.start(), self.0.end()].map(|&bytes| in_units(bytes.into(), &Self::UNITS));
        format!("a size from {from} to {to}, such as \"512MiB\", or a number of bytes")
    }

    fn schema(&self) -> Value {
        with_unit_schema(*self.0.end(), &Self::UNITS)
    }
}

/// `300s` in units of 1. Zero needs no unit.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// `value` in the largest unit that makes it a whole number. The smallest unit comes last and is 1.
fn in_units(value: u128, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, factor)| {
            value >= u128::from(*factor) && value.is_multiple_of(u128::from(*factor))
        })
        .map_or_else(
            || "0".into(),
            |(unit, factor)| format!("{}{unit}", value / u128::from(*factor)),
        )
}

/// A number up to `max` in the unit of 1, or text with a unit. A schema cannot hold the text to the
/// range.
fn with_unit_schema(max: u64, units: &[(&str, u64)]) -> Value {
    let units: Vec<_> = units.iter().map(|(unit, _)| *unit).collect();
    json!({ "anyOf": [
        { "type": "integer", "minimum": 0, "maximum": max },
        { "type": "string", "pattern": format!("^(0|[0-9]+ *({}))$", units.join("|")) },
    ] })
}
