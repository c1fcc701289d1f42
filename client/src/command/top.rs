//! `tandem top`: what the daemon and the machine do, as it happens.

use std::{ops::ControlFlow, time::Duration};

use clap::Args;
use ratatui::{buffer::Buffer, layout::Rect};
use tandem_client::Client;
use tokio::{select, sync::mpsc, time};

use crate::{
    context::{self, Context},
    failure::Failure,
    report::status::Status as Report,
};

mod history;
mod keys;
mod reading;
mod screen;
mod state;
mod view;

use reading::Reading;
use screen::{Input, Screen};
use state::Top as State;

/// Time between two looks at the daemon.
const INTERVAL: Duration = Duration::from_secs(1);

/// Columns of a frame that is printed.
const COLUMNS: u16 = 80;

const KEYS: &str = "\
Keys:
  tab, left, right   the next panel, the one before
  up, down           move what the panel shows
  p                  hold the picture, go on
  ?                  explain
  q, escape, ctrl-c  end

Where no person looks or types, and with --once, one frame is printed as text; with --json the
status is, as by `tandem status --json`. Looking does not start the daemon.";

/// How to look at the daemon.
#[derive(Debug, Args)]
#[command(after_help = KEYS)]
pub(crate) struct Top {
    /// Print one frame as text and end
    #[arg(long)]
    once: bool,
}

impl Top {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.find().await?.1?;
        let terminal = context.terminal;
        if terminal.json() {
            let status = context::status(&client).await?;
            return terminal.result(&Report::from(status), Report::text);
        }
        if self.once || !terminal.is_interactive() {
            return terminal.raw(&frame(Reading::take(&client).await?));
        }
        watch(client).await
    }
}

/// Shows one reading after the other until a person has seen enough.
async fn watch(client: Client) -> Result<(), Failure> {
    let mut state = State::default();
    let mut readings = follow(client);
    let mut screen = Screen::open().map_err(Failure::Output)?;
    loop {
        screen.draw(&mut state).map_err(Failure::Output)?;
        select! {
            Some(reading) = readings.recv() => state.take(reading),
            input = screen.input() => match input.map_err(Failure::Output)? {
                Input::Key(key) => if let ControlFlow::Break(()) = state.key(key) {
                    return Ok(());
                },
                Input::Resized => {}
                Input::End => return Ok(()),
            },
        }
    }
}

/// One reading a second, or why there is none, for as long as somebody receives them. A call that
/// failed is followed by one that connects anew.
fn follow(client: Client) -> mpsc::Receiver<Result<Reading, Failure>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if sender.send(Reading::take(&client).await).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// The picture as text, with room for everything that there is.
fn frame(reading: Reading) -> String {
    let mut state = State::default();
    let rows = view::rows(&reading);
    state.take(Ok(reading));
    let mut picture = Buffer::empty(Rect::new(0, 0, COLUMNS, rows));
    view::draw(&mut state, picture.area, &mut picture);
    view::text(&picture)
}
