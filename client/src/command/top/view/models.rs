//! The panel of the models: a row for each engine.

use std::collections::HashMap;

use ratatui::{style::Stylize as _, text::Line};
use tandem_client::v1;

use crate::report::model::size;

/// Columns of all but the name.
const NUMBERS: usize = 56;

/// A heading, and the rows of models with their engines.
pub(super) fn lines(
    status: &v1::StatusResponse,
    speeds: &HashMap<String, f64>,
    width: u16,
) -> Vec<Line<'static>> {
    if status.models.is_empty() {
        return vec![Line::from("none loaded; the first question loads one").dark_gray()];
    }
    let width = usize::from(width).saturating_sub(NUMBERS).max(12);
    let row = |name: &str, state: &str, engine: Option<&v1::EngineStatus>, speed: Option<f64>| {
        let number =
            |number: fn(&v1::EngineStatus) -> String| engine.map(number).unwrap_or_default();
        let speed = speed.map(|speed| format!("{speed:.1}")).unwrap_or_default();
        Line::from(format!(
            "{name:<width$.width$} {state:<10.10} {:>10} {:>7} {:>6} {:>7} {speed:>8}",
            number(|engine| size(engine.memory_bytes)),
            number(|engine| engine.threads.to_string()),
            number(|engine| format!("{}/{}", engine.sequences_active, engine.sequences_max)),
            number(|engine| engine.sequences_waiting.to_string()),
        ))
    };
    let heading = format!(
        "{:<width$} {:<10} {:>10} {:>7} {:>6} {:>7} {:>8}",
        "MODEL", "STATE", "MEMORY", "THREADS", "ACTIVE", "WAITING", "TOKENS/S"
    );
    let mut lines = vec![Line::from(heading).dark_gray()];
    for model in &status.models {
        let state = match model.state() {
            v1::ModelState::Unspecified => "",
            v1::ModelState::Absent => "absent",
            v1::ModelState::Available => "available",
            v1::ModelState::Loading => "loading",
            v1::ModelState::Loaded => "loaded",
            v1::ModelState::Restarting => "restarting",
            v1::ModelState::Broken => "broken",
        };
        lines.push(row(&model.id, state, model.engine.as_ref(), speeds.get(&model.id).copied()));
        for engine in &model.other_engines {
            lines.push(row(&format!("  and pid {}", engine.pid), "", Some(engine), None));
        }
        if !model.problem.is_empty() {
            lines.push(Line::from(format!("  {}", model.problem.replace('\n', " "))).red());
        }
    }
    lines
}
