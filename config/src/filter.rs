//! The setting that says what is logged, checked as `tracing` filters are, without spans and fields.

use serde_json::{Value, json};

use crate::{
    kind::{Kind, quoted},
    source::Node,
};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Longest filter.
const BYTES_MAX: usize = 1024;

/// Least likeness of a word to the level that was probably meant, 0 to 1.
const LIKENESS_MIN: f64 = 0.5;

/// Levels, targets and `target=level`, with commas between them.
pub(crate) struct Filter;

impl Kind<String> for Filter {
    fn read(&self, node: &Node) -> Option<String> {
        let text = node.text().filter(|text| (1..=BYTES_MAX).contains(&text.len()))?;
        text.split(',').all(is_directive).then(|| text.to_owned())
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn allowed(&self) -> String {
        format!("levels ({}) and targets, such as \"info,tandem_actors=debug\"", LEVELS.join(", "))
    }

    fn meant(&self, node: &Node) -> Option<String> {
        let wrong = node.text()?.split(',').find(|directive| !is_directive(directive))?;
        let (target, level) = wrong.split_at_checked(wrong.rfind('=').map_or(0, |at| at + 1))?;
        let level = level.to_lowercase();
        let likeness = |known: &str| strsim::normalized_damerau_levenshtein(known, &level);
        let meant = LEVELS.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        let directive = format!("{target}{meant}");
        (likeness(meant) >= LIKENESS_MIN && is_directive(&directive)).then_some(directive)
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": 1, "maxLength": BYTES_MAX })
    }
}

/// A bare word that is no level means a target; only those that look like one are taken for it.
fn is_directive(text: &str) -> bool {
    let is_level = |text: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text));
    let is_target = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
    };
    match text.split_once('=') {
        Some((target, level)) => is_target(target) && is_level(level),
        None => {
            is_level(text) || is_target(text) && (text.contains("::") || text.starts_with("tandem"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_levels_targets_or_both() {
        for directive in ["info", "WARN", "tandem_actors", "hyper::proto", "h2=off"] {
            assert!(is_directive(directive), "{directive}");
        }
        for directive in ["", "debgu", "h2=loud", "=info", "h2=", "a b=info", "h2=info=warn"] {
            assert!(!is_directive(directive), "{directive}");
        }
    }
}
