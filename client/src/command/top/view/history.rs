//! The panel of the last minutes.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::Stylize as _,
    widgets::{Block, Borders, RenderDirection, Sparkline, Widget as _},
};

use super::super::history::{Column, History, LOOKS};

/// So many waiting questions fill the height, at least.
const WAITING_LEAST: u64 = 4;

/// Draws what was available and what waited, the latest at the right.
pub(super) fn draw(history: &History, selected: bool, area: Rect, picture: &mut Buffer) {
    let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2);
    let [left, right] = halves.areas(area);
    let columns: Vec<Column> = history.latest(usize::from(left.width)).collect();
    let minutes = u32::from(left.width) * LOOKS / 60;
    let memory = columns.iter().map(|column| column.memory);
    let waiting = columns.iter().map(|column| column.waiting);
    let waiting_most = waiting.clone().flatten().max().unwrap_or(0);
    for (area, title, data, most) in [
        (left, format!("memory available, {minutes} min"), memory.collect::<Vec<_>>(), 100),
        (
            right,
            format!("waiting, at most {waiting_most}"),
            waiting.collect(),
            waiting_most.max(WAITING_LEAST),
        ),
    ] {
        let block = Block::new().borders(Borders::TOP).title(format!(" {title} "));
        let block = if selected { block.cyan() } else { block };
        Sparkline::default()
            .block(block)
            .data(data)
            .max(most)
            .absent_value_symbol("·")
            .direction(RenderDirection::RightToLeft)
            .render(area, picture);
    }
}
