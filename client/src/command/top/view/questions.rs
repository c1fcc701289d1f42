//! The panel of the questions: which run, wait and were answered.

use ratatui::{style::Stylize as _, text::Line};
use tandem_client::v1;

/// Admission, then turns, then who asks.
pub(super) fn lines(status: &v1::StatusResponse) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let admission = status.admission.as_ref();
    if let Some(admission) = admission {
        let running = format!(
            "{} of {} running, {} of {} waiting",
            admission.running, admission.running_max, admission.waiting, admission.waiting_max,
        );
        lines.push(if admission.draining {
            Line::from(format!("draining: {running}")).yellow()
        } else {
            Line::from(running)
        });
    }
    if let Some(turns) = &status.turns {
        lines.push(Line::from(format!(
            "{} asked: {} fast, {} slow, {} failed",
            turns.started, turns.answered_fast, turns.answered_slow, turns.failed,
        )));
    }
    if let Some(admission) = admission {
        lines.push(Line::from(format!(
            "{} interactive, {} batch, {} background",
            admission.waiting_interactive, admission.waiting_batch, admission.waiting_background,
        )));
        lines.push(Line::from(format!("{} refused", admission.refused)));
    }
    if let Some(turns) = &status.turns {
        lines.push(Line::from(format!(
            "{} cancelled, {} fell back, {} built-in",
            turns.cancelled, turns.fell_back, turns.answered_built_in,
        )));
    }
    lines.extend(admission.into_iter().flat_map(|admission| &admission.clients).map(|load| {
        Line::from(format!("{:<20.20} {} run, {} wait", load.client, load.running, load.waiting))
    }));
    if lines.is_empty() {
        lines.push(Line::from("not known").dark_gray());
    }
    lines
}
