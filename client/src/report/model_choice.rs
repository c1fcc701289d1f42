//! Which models are best for a task.

use std::fmt::Write as _;

use serde::Serialize;
use tandem_client::v1;

use super::model::Model;

/// Models, best first.
#[derive(Debug, Serialize)]
pub(crate) struct List {
    pub(crate) recommendations: Vec<Recommendation>,
}

/// A model and what speaks for it.
#[derive(Debug, Serialize)]
pub(crate) struct Recommendation {
    model: Model,
    suits: bool,
    reasons: Vec<String>,
    tokens_per_second: f64,
    /// The command that makes it answer, or fetches it; absent for one that does not suit.
    command: Option<String>,
}

impl From<v1::Recommendation> for Recommendation {
    fn from(recommended: v1::Recommendation) -> Self {
        let model = recommended.model.unwrap_or_default();
        let verb = match (model.state(), model.embedding_dimensions) {
            (v1::ModelState::Absent, _) => Some("pull"),
            (_, 0) => Some("use"),
            // Embeddings have a setting of their own.
            _ => None,
        };
        let command = verb.filter(|_| recommended.suits);
        Self {
            command: command.map(|verb| format!("tandem model {verb} {}", model.id)),
            model: model.into(),
            suits: recommended.suits,
            reasons: recommended.reasons,
            tokens_per_second: recommended.tokens_per_second,
        }
    }
}

impl List {
    /// One model below the other, those that do not suit last.
    pub(crate) fn text(&self) -> String {
        if self.recommendations.is_empty() {
            return "no model is here; `tandem model recommend --all` shows which could be\n"
                .into();
        }
        self.recommendations.iter().map(Recommendation::text).collect()
    }
}

impl Recommendation {
    fn text(&self) -> String {
        let Self { model, reasons, .. } = self;
        let mark = if self.suits { ' ' } else { '-' };
        let mut text = format!("{mark} {}  {}\n", model.id, model.state);
        let _ = writeln!(text, "    {}", reasons.join(" · "));
        if let Some(command) = &self.command {
            let _ = writeln!(text, "    {command}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_absent_comes_with_the_command_that_fetches_it() {
        let recommended = |state: v1::ModelState, suits| v1::Recommendation {
            model: Some(v1::Model { id: "m".into(), state: state.into(), ..Default::default() }),
            suits,
            reasons: vec!["good for chat".into(), "takes about 5 of 9 MiB".into()],
            tokens_per_second: 1.0,
        };
        let text = |state, suits| Recommendation::from(recommended(state, suits)).text();
        assert_eq!(
            text(v1::ModelState::Absent, true),
            "  m  absent\n    good for chat · takes about 5 of 9 MiB\n    tandem model pull m\n"
        );
        assert!(text(v1::ModelState::Available, true).ends_with("    tandem model use m\n"));
        assert!(!text(v1::ModelState::Available, false).contains("tandem"));
        assert!(List { recommendations: Vec::new() }.text().contains("--all"));
    }
}
