//! The terminal while the picture is on it. It is given back as it was on every way out: by a drop,
//! after a panic, at a signal.

use std::{io, thread};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEvent},
};
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

use super::{state::Top, view};

/// Keys that wait to be looked at.
const INPUTS: usize = 16;

/// What comes from a person.
#[derive(Debug)]
pub(super) enum Input {
    Key(KeyEvent),
    Resized,
    /// Whoever started this wants its end.
    End,
}

/// A terminal that shows nothing else.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: DefaultTerminal,
    events: mpsc::Receiver<io::Result<Event>>,
    /// SIGTERM, SIGINT and SIGHUP.
    ends: [Signal; 3],
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn open() -> io::Result<Self> {
        let ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] = ends.map(signal);
        let ends = [terminate?, interrupt?, hangup?];
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        let (sender, events) = mpsc::channel(INPUTS);
        // Reading blocks until a key comes; the end of the process does not wait for this thread.
        thread::spawn(move || {
            loop {
                let event = event::read();
                let failed = event.is_err();
                if sender.blocking_send(event).is_err() || failed {
                    return;
                }
            }
        });
        Ok(Self { terminal, events, ends })
    }

    /// Draws the picture, as large as the terminal is now.
    pub(super) fn draw(&mut self, top: &mut Top) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(top, frame.area(), frame.buffer_mut()))?;
        Ok(())
    }

    /// The next thing that a person does. Cancel-safe.
    pub(super) async fn input(&mut self) -> io::Result<Input> {
        let [terminate, interrupt, hangup] = &mut self.ends;
        loop {
            let event = select! {
                event = self.events.recv() => event,
                _ = terminate.recv() => return Ok(Input::End),
                _ = interrupt.recv() => return Ok(Input::End),
                _ = hangup.recv() => return Ok(Input::End),
            };
            match event.transpose()? {
                None => return Ok(Input::End),
                Some(Event::Key(key)) => return Ok(Input::Key(key)),
                Some(Event::Resize(..)) => return Ok(Input::Resized),
                Some(_) => {}
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
