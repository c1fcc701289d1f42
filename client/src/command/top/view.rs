//! The picture: what is where. Each panel is a list of lines that can be moved, but for the history.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize as _},
    text::Line,
    widgets::{Block, Clear, Paragraph, Widget as _, Wrap},
};
use tandem_client::v1;

use super::{
    reading::Reading,
    state::{Panel, Top},
};
use crate::report::duration;

mod history;
mod ladder;
mod machine;
mod models;
mod providers;
mod questions;

/// Below this size the selected panel is shown alone.
const COLUMNS_LEAST: u16 = 80;
const ROWS_LEAST: u16 = 24;

/// Most rows of a frame that is printed.
const ROWS_MOST: u16 = 1000;

/// Rows of the panels that do not grow: borders and content.
const UPPER_ROWS: u16 = 10;
const LOWER_ROWS: u16 = 5;
const HISTORY_ROWS: u16 = 3;

/// Most rows for the reasons of the ladder.
const REASON_ROWS: u16 = 2;

const HELP: [&str; 11] = [
    "tab ←→   the next panel, the one before",
    "↑↓       move what the panel shows",
    "p        hold the picture, go on",
    "q        end, as escape and ctrl-c do",
    "",
    "stalled  share of the last 10 seconds",
    "         in which programs waited",
    "ladder   what is given up for the sake",
    "         of the machine",
    "history  least memory and most waiting",
    "         questions, 5 seconds a column",
];

/// Draws all of it. What is moved beyond its end is moved back.
pub(super) fn draw(top: &mut Top, area: Rect, picture: &mut Buffer) {
    let why = Paragraph::new(reasons(&top.reading.status)).wrap(Wrap { trim: true });
    let why_rows = wrapped_rows(&top.reading.status, area.width).min(REASON_ROWS);
    let [head, body, below] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(why_rows),
    ])
    .areas(area);
    header(top, head.width).render(head, picture);
    why.style(Color::Yellow).render(below, picture);
    if area.width < COLUMNS_LEAST || area.height < ROWS_LEAST {
        panel(top, top.panel, body, picture);
    } else {
        panels(top, body, picture);
    }
    if top.help {
        help(area, picture);
    }
}

/// Rows in which no row of a table is cut off.
pub(super) fn rows(reading: &Reading) -> u16 {
    let status = &reading.status;
    let models = models::lines(status, &reading.speeds, COLUMNS_LEAST).len();
    let lower = questions::lines(status).len().max(providers::lines(status).len());
    // What there is beyond the least size is given to both in equal parts, and to each its frame.
    let rows = u16::try_from(models.max(lower)).unwrap_or(u16::MAX).saturating_add(2);
    let more = rows.saturating_sub(LOWER_ROWS).saturating_mul(2);
    ROWS_LEAST.saturating_add(REASON_ROWS).saturating_add(more).min(ROWS_MOST)
}

/// The picture as lines of text.
pub(super) fn text(picture: &Buffer) -> String {
    let width = usize::from(picture.area.width).max(1);
    let line = |cells: &[ratatui::buffer::Cell]| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned() + "\n"
    };
    picture.content().chunks(width).map(line).collect()
}

/// All panels at once.
fn panels(top: &mut Top, area: Rect, picture: &mut Buffer) {
    let fixed = UPPER_ROWS + LOWER_ROWS + HISTORY_ROWS;
    let more = area.height.saturating_sub(fixed + LOWER_ROWS) / 2;
    let [upper, models, lower, history] = Layout::vertical([
        Constraint::Length(UPPER_ROWS),
        Constraint::Fill(1),
        Constraint::Length(LOWER_ROWS + more),
        Constraint::Length(HISTORY_ROWS),
    ])
    .areas(area);
    let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]);
    let [machine, ladder] = halves.areas(upper);
    let [questions, providers] = halves.areas(lower);
    for (part, area) in [
        (Panel::Machine, machine),
        (Panel::Ladder, ladder),
        (Panel::Models, models),
        (Panel::Questions, questions),
        (Panel::Providers, providers),
        (Panel::History, history),
    ] {
        panel(top, part, area, picture);
    }
}

/// One panel with its frame.
fn panel(top: &mut Top, part: Panel, area: Rect, picture: &mut Buffer) {
    let status = &top.reading.status;
    let width = area.width.saturating_sub(2);
    let (title, lines) = match part {
        Panel::Machine => machine::panel(status),
        Panel::Ladder => ladder::panel(status),
        Panel::Models => ("models".to_owned(), models::lines(status, &top.reading.speeds, width)),
        Panel::Questions => ("questions".to_owned(), questions::lines(status)),
        Panel::Providers => ("providers".to_owned(), providers::lines(status)),
        Panel::History => return history::draw(&top.history, top.panel == part, area, picture),
    };
    let mut scrolled = 0;
    if top.panel == part {
        let shown = usize::from(area.height.saturating_sub(2));
        top.scrolled = top.scrolled.min(lines.len().saturating_sub(shown));
        scrolled = u16::try_from(top.scrolled).unwrap_or(u16::MAX);
    }
    let block = framed(&title, top.panel == part);
    Paragraph::new(lines).block(block).scroll((scrolled, 0)).render(area, picture);
}

/// The frame of a panel, with colour when it is the one that arrows move.
fn framed(title: &str, selected: bool) -> Block<'static> {
    let style = if selected { Style::new().cyan().bold() } else { Style::new().dark_gray() };
    let sign = if selected { "▸" } else { " " };
    Block::bordered().title(format!("{sign}{title} ")).border_style(style)
}

/// What is seen first: who is looked at, or why nobody is.
fn header(top: &Top, width: u16) -> Line<'static> {
    const KEYS: &str = "q end  p hold  ? help";
    let status = &top.reading.status;
    let state = if let Some(lost) = &top.lost {
        let line = format!("no answer, trying again: {}", lost.replace('\n', " "));
        return Line::from(line).style(Style::new().white().on_red());
    } else if status.pid == 0 {
        "waiting for the daemon".to_owned()
    } else {
        let up = duration(std::time::Duration::from_millis(status.uptime_ms));
        let held = if top.paused { "held · " } else { "" };
        format!("{held}tandem {} · pid {} · up {up}", status.version, status.pid)
    };
    let gap = usize::from(width).saturating_sub(state.chars().count() + KEYS.len());
    Line::from(if gap > 1 { format!("{state}{:gap$}{KEYS}", "") } else { state }).bold()
}

/// Why something is given up; empty when nothing is.
fn reasons(status: &v1::StatusResponse) -> String {
    let ladder = status.resources.as_ref().and_then(|machine| machine.ladder.as_ref());
    ladder.map(|ladder| ladder.reasons.join("; ")).unwrap_or_default()
}

/// Rows that the reasons take, as near as their length tells.
fn wrapped_rows(status: &v1::StatusResponse, width: u16) -> u16 {
    let letters = reasons(status).chars().count();
    u16::try_from(letters.div_ceil(usize::from(width.max(1)))).unwrap_or(u16::MAX)
}

/// What the keys do, over the picture.
fn help(area: Rect, picture: &mut Buffer) {
    let lines = HELP.map(Line::from).to_vec();
    let width = lines.iter().map(Line::width).max().unwrap_or_default() + 2;
    let size = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
    let [row] = Layout::vertical([Constraint::Length(size(lines.len() + 2))])
        .flex(ratatui::layout::Flex::Center)
        .areas(area);
    let [middle] = Layout::horizontal([Constraint::Length(size(width))])
        .flex(ratatui::layout::Flex::Center)
        .areas(row);
    Clear.render(middle, picture);
    Paragraph::new(lines).block(framed("help", true)).render(middle, picture);
}

/// A bar of `cells` letters that is filled by a share of 0 to 1.
fn bar(share: f64, cells: u32) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to the number of cells; what is no number counts as 0"
    )]
    let filled = (share.clamp(0.0, 1.0) * f64::from(cells)).round() as usize;
    let empty = (cells as usize).saturating_sub(filled);
    format!("{}{}", "█".repeat(filled), "░".repeat(empty))
}

#[cfg(test)]
mod tests;
