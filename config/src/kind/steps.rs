//! Thresholds, one for each degree of pressure.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::Kind;
use crate::{Degree, Thresholds, source::Node};

/// A table of four numbers, of which each is worse than the one before it, or the same.
pub(crate) struct Steps {
    range: RangeInclusive<f64>,
    /// Worse is more.
    rises: bool,
    example: &'static str,
}

impl Steps {
    /// Above these it is worse.
    pub(crate) const fn above(range: RangeInclusive<f64>, example: &'static str) -> Self {
        Self { range, rises: true, example }
    }

    /// Below these it is worse.
    pub(crate) const fn below(range: RangeInclusive<f64>, example: &'static str) -> Self {
        Self { range, rises: false, example }
    }
}

impl Kind<Thresholds> for Steps {
    fn read(&self, node: &Node) -> Option<Thresholds> {
        let Node::Table(table) = node else { return None };
        let number = |degree: Degree| {
            table.entries.get(degree.name())?.float().filter(|number| self.range.contains(number))
        };
        let [moderate, high, critical, extreme] = Degree::ALL.map(number);
        let steps = [moderate?, high?, critical?, extreme?];
        let ordered = steps.is_sorted_by(|a, b| if self.rises { a <= b } else { a >= b });
        (ordered && table.entries.len() == steps.len()).then_some(steps)
    }

    fn write(&self, steps: &Thresholds) -> Option<String> {
        let step = |(degree, step): (&Degree, &f64)| format!("{} = {step:?}", degree.name());
        let steps: Vec<_> = Degree::ALL.iter().zip(steps).map(step).collect();
        Some(format!("{{ {} }}", steps.join(", ")))
    }

    fn allowed(&self) -> String {
        let order = if self.rises { "none less" } else { "none more" };
        format!(
            "a table of four numbers from {} to {}, {order} than the one before it, such as {}",
            self.range.start(),
            self.range.end(),
            self.example
        )
    }

    fn example(&self) -> &'static str {
        self.example
    }

    fn schema(&self) -> Value {
        let number = json!({
            "type": "number", "minimum": self.range.start(), "maximum": self.range.end(),
        });
        let names = Degree::ALL.map(Degree::name);
        let properties: Map<_, _> =
            names.iter().map(|name| ((*name).to_owned(), number.clone())).collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": names,
            "additionalProperties": false,
        })
    }
}
