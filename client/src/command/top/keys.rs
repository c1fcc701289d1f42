//! What a key means.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To end.
    Quit,
    /// To leave what lies over the picture; else to end.
    Back,
    /// The next panel.
    Next,
    /// The one before.
    Previous,
    /// A line further up.
    Up,
    /// A line further down.
    Down,
    /// To hold the picture, or to go on.
    Pause,
    /// To know the keys.
    Help,
}

/// What `key` asks for, if anything.
pub(super) fn meaning(key: KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c' | 'd')).then_some(Wish::Quit);
    }
    Some(match key.code {
        KeyCode::Char('q') => Wish::Quit,
        KeyCode::Esc => Wish::Back,
        KeyCode::Tab | KeyCode::Right => Wish::Next,
        KeyCode::BackTab | KeyCode::Left => Wish::Previous,
        KeyCode::Up => Wish::Up,
        KeyCode::Down => Wish::Down,
        KeyCode::Char('p' | ' ') => Wish::Pause,
        KeyCode::Char('?' | 'h') => Wish::Help,
        _ => return None,
    })
}
