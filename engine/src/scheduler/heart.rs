//! Signs of life, between steps and from inside of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tandem_proto::engine::Heartbeat;
use tandem_proto::engine::from_engine::Message;

use crate::connection::Writer;

/// What the next heartbeat says, and when the last one was sent.
#[derive(Debug)]
pub struct Heart {
    writer: Arc<Writer>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    heartbeat: Heartbeat,
    last: Instant,
}

impl Heart {
    /// Sends through `writer`.
    pub fn new(writer: Arc<Writer>) -> Self {
        let state = State { heartbeat: Heartbeat::default(), last: Instant::now() };
        Self { writer, state: Mutex::new(state) }
    }

    /// A step was made.
    pub fn count_step(&self) {
        self.change(|state| state.heartbeat.steps += 1);
    }

    /// What is going on now; steps are counted here.
    pub fn set(&self, now: Heartbeat) {
        self.change(|state| {
            state.heartbeat = Heartbeat { steps: state.heartbeat.steps, ..now };
        });
    }

    /// Sends a heartbeat, unless the last one is younger than `least`.
    pub fn beat(&self, least: Duration) {
        let due = self.change(|state| {
            let due = state.last.elapsed() >= least;
            if due {
                state.last = Instant::now();
            }
            due.then_some(state.heartbeat)
        });
        if let Some(heartbeat) = due {
            self.writer.send(Message::Heartbeat(heartbeat));
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
