//! What `tandem top` shows, and how keys and readings change it. No terminal, no clock.

use std::ops::ControlFlow;

use ratatui::crossterm::event::KeyEvent;

use super::{
    history::History,
    keys::{Wish, meaning},
    reading::Reading,
};
use crate::failure::Failure;

/// Everything that the picture is made of.
#[derive(Debug, Default)]
pub(super) struct Top {
    /// The latest that the daemon said; the default before it said anything.
    pub(super) reading: Reading,
    /// Why it does not answer, while it does not.
    pub(super) lost: Option<String>,
    pub(super) history: History,
    /// The panel that the arrows move.
    pub(super) panel: Panel,
    /// Lines of it that are above the picture.
    pub(super) scrolled: usize,
    /// Whether the picture is held.
    pub(super) paused: bool,
    /// Whether the keys are explained.
    pub(super) help: bool,
}

/// A part of the picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Panel {
    #[default]
    Machine,
    Ladder,
    Models,
    Questions,
    Providers,
    History,
}

impl Panel {
    const ALL: [Self; 6] = [
        Self::Machine,
        Self::Ladder,
        Self::Models,
        Self::Questions,
        Self::Providers,
        Self::History,
    ];

    /// The one so many further in the round of all.
    fn further(self, steps: usize) -> Self {
        let mut round = Self::ALL.into_iter().cycle().skip_while(|panel| *panel != self);
        round.nth(steps).unwrap_or_default()
    }
}

impl Top {
    /// Takes in what the daemon said, or why it did not.
    pub(super) fn take(&mut self, reading: Result<Reading, Failure>) {
        if self.paused {
            return self.history.add(None);
        }
        match reading {
            Ok(reading) => {
                self.history.add(Some(&reading.status));
                self.reading = reading;
                self.lost = None;
            }
            Err(failure) => {
                self.history.add(None);
                self.lost = Some(failure.to_string());
            }
        }
    }

    /// Does what a key asks for; breaks when that is to end.
    pub(super) fn key(&mut self, key: KeyEvent) -> ControlFlow<()> {
        let Some(wish) = meaning(key) else { return ControlFlow::Continue(()) };
        match wish {
            Wish::Quit => return ControlFlow::Break(()),
            Wish::Back if !self.help => return ControlFlow::Break(()),
            Wish::Back => self.help = false,
            Wish::Help => self.help = !self.help,
            Wish::Pause => self.paused = !self.paused,
            Wish::Next => self.show(self.panel.further(1)),
            Wish::Previous => self.show(self.panel.further(Panel::ALL.len() - 1)),
            Wish::Up => self.scrolled = self.scrolled.saturating_sub(1),
            // The view knows where the end is and takes back what is beyond.
            Wish::Down => self.scrolled = self.scrolled.saturating_add(1),
        }
        ControlFlow::Continue(())
    }

    fn show(&mut self, panel: Panel) {
        self.panel = panel;
        self.scrolled = 0;
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};
    use tandem_client::v1;

    use super::*;

    fn reading(pid: u32) -> Reading {
        let status = v1::StatusResponse { pid, ..v1::StatusResponse::default() };
        Reading { status, ..Reading::default() }
    }

    fn press(top: &mut Top, code: KeyCode) -> bool {
        top.key(KeyEvent::new(code, KeyModifiers::NONE)).is_break()
    }

    #[test]
    fn q_escape_and_control_c_end() {
        for code in [KeyCode::Char('q'), KeyCode::Esc] {
            assert!(press(&mut Top::default(), code), "{code:?}");
        }
        let mut top = Top { help: true, ..Top::default() };
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(top.key(interrupt).is_break());
        assert!(!press(&mut top, KeyCode::Char('c')), "a letter is not Ctrl-C");
    }

    #[test]
    fn escape_leaves_the_help_before_it_ends() {
        let mut top = Top::default();
        assert!(!press(&mut top, KeyCode::Char('?')));
        assert!(top.help);
        assert!(!press(&mut top, KeyCode::Esc));
        assert!(!top.help);
        assert!(press(&mut top, KeyCode::Esc));
    }

    #[test]
    fn tab_goes_round_all_panels_and_back() {
        let mut top = Top::default();
        let seen: Vec<_> = Panel::ALL
            .iter()
            .map(|_| {
                press(&mut top, KeyCode::Tab);
                top.panel
            })
            .collect();
        assert_eq!(seen[..5], Panel::ALL[1..]);
        assert_eq!(top.panel, Panel::Machine);
        press(&mut top, KeyCode::Left);
        assert_eq!(top.panel, Panel::History);
    }

    #[test]
    fn another_panel_begins_at_its_first_line() {
        let mut top = Top::default();
        press(&mut top, KeyCode::Down);
        press(&mut top, KeyCode::Down);
        press(&mut top, KeyCode::Up);
        assert_eq!(top.scrolled, 1);
        press(&mut top, KeyCode::Tab);
        assert_eq!(top.scrolled, 0);
        press(&mut top, KeyCode::Up);
        assert_eq!(top.scrolled, 0);
    }

    #[test]
    fn a_held_picture_does_not_change() {
        let mut top = Top::default();
        top.take(Ok(reading(1)));
        press(&mut top, KeyCode::Char('p'));
        top.take(Ok(reading(2)));
        top.take(Err(Failure::Cancelled));
        assert_eq!((top.reading.status.pid, &top.lost), (1, &None));
        press(&mut top, KeyCode::Char('p'));
        top.take(Ok(reading(3)));
        assert_eq!(top.reading.status.pid, 3);
    }

    #[test]
    fn a_daemon_that_is_lost_stays_in_the_picture_until_one_answers() {
        let mut top = Top::default();
        top.take(Ok(reading(1)));
        top.take(Err(Failure::Cancelled));
        assert_eq!((top.reading.status.pid, top.lost.as_deref()), (1, Some("cancelled")));
        top.take(Ok(reading(2)));
        assert_eq!((top.reading.status.pid, &top.lost), (2, &None));
    }
}
