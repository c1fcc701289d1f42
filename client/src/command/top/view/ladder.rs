//! The panel of the ladder: all rungs, and how far down the daemon is.

use std::time::Duration;

use ratatui::{
    style::{Color, Style, Stylize as _},
    text::Line,
};
use tandem_client::v1::{self, Rung};

use crate::report::duration;

/// The rungs, the first gives up nothing.
const RUNGS: [(Rung, &str); 8] = [
    (Rung::Full, "full"),
    (Rung::FewerThreads, "fewer threads"),
    (Rung::SmallerBatch, "smaller batch"),
    (Rung::ShorterContext, "shorter context"),
    (Rung::QuantizedKv, "8-bit keys and values"),
    (Rung::SmallerModel, "smaller model"),
    (Rung::Remote, "remote where allowed"),
    (Rung::Template, "nothing computed here"),
];

/// Title and lines.
pub(super) fn panel(status: &v1::StatusResponse) -> (String, Vec<Line<'static>>) {
    let ladder = status.resources.as_ref().and_then(|machine| machine.ladder.as_ref());
    let known = ladder.filter(|ladder| ladder.rung() != Rung::Unspecified);
    let Some(ladder) = known else {
        let lines = RUNGS.map(|(_, name)| Line::from(format!("├──┤ {name}")).dark_gray());
        return ("ladder: not known".to_owned(), lines.to_vec());
    };
    let here = ladder.rung();
    let lines = RUNGS.map(|(rung, name)| {
        // At the top nothing is given up; below, all rungs on the way down are in effect.
        let in_effect = rung == here || (rung != Rung::Full && rung < here);
        match (in_effect, rung == here) {
            (true, true) => Line::from(format!("├▓▓┤ {name} ◀")).style(colour(rung)).bold(),
            (true, false) => Line::from(format!("├▓▓┤ {name}")).style(colour(rung)),
            (false, _) => Line::from(format!("├──┤ {name}")).dark_gray(),
        }
    });
    let since = duration(Duration::from_millis(ladder.since_ms));
    let moves = match ladder.moves {
        1 => "1 move".to_owned(),
        moves => format!("{moves} moves"),
    };
    (format!("ladder: here for {since}, {moves}"), lines.to_vec())
}

fn colour(rung: Rung) -> Style {
    Style::new().fg(match rung {
        Rung::Unspecified | Rung::Full => Color::Green,
        Rung::FewerThreads | Rung::SmallerBatch => Color::Yellow,
        Rung::ShorterContext | Rung::QuantizedKv | Rung::SmallerModel => Color::LightRed,
        Rung::Remote | Rung::Template => Color::Red,
    })
}
