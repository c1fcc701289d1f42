//! The panel of the slow track.

use ratatui::{
    style::{Color, Stylize as _},
    text::Line,
};
use tandem_client::v1::{self, Breaker};

/// A heading, and the rows of providers; below one that is left alone, why.
pub(super) fn lines(status: &v1::StatusResponse) -> Vec<Line<'static>> {
    if status.providers.is_empty() {
        return vec![Line::from("none configured").dark_gray()];
    }
    let heading = format!("{:<12} {:<11} {:>6} {:>6}", "PROVIDER", "BREAKER", "ASKED", "FAILED");
    let mut lines = vec![Line::from(heading).dark_gray()];
    for provider in &status.providers {
        let (breaker, colour) = match provider.breaker() {
            Breaker::Unspecified => ("", Color::Reset),
            Breaker::Closed => ("closed", Color::Green),
            Breaker::HalfOpen => ("half open", Color::Yellow),
            Breaker::Open => ("open", Color::Red),
            Breaker::KeyRefused => ("key refused", Color::Red),
            Breaker::Exhausted => ("exhausted", Color::Red),
        };
        let row = format!(
            "{:<12.12} {breaker:<11} {:>6} {:>6}",
            provider.name, provider.requests, provider.failures,
        );
        lines.push(Line::from(row).fg(colour));
        if !provider.breaker_reason.is_empty() {
            lines.push(Line::from(format!("  {}", provider.breaker_reason)));
        }
    }
    lines
}
