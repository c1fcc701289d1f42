//! What tandem adds to a model: everything but the computation.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Measure, Task, Unit};
use crate::Home;
use crate::bench::chat::Reply;
use crate::bench::process::Memory;
use crate::bench::statistics::{median, percentile};
use crate::bench::tandem::Tandem;
use crate::script::{Life, Script};

/// Questions that are asked one after the other.
const QUESTIONS: u32 = 200;
/// How long a daemon is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(10);

/// A daemon whose engine answers with two words and computes nothing.
pub(super) async fn overhead(task: Task<'_>) -> Result<Vec<Measure>> {
    let home = Home::scripted(&Script::always(Life::answering("two words")));
    let tandem = Tandem::start_in(home, &task.plan.settings).await?;
    let start = tandem.ready - tandem.started;
    let (daemon, _) = tandem.pids().await?;
    tokio::time::sleep(IDLE / 10 * task.scale.times(10)).await;
    let memory = Memory::of(daemon)?;
    let mut seconds = Vec::new();
    for question in 0..=task.scale.times(QUESTIONS) {
        let mut reply = Reply::expected();
        tandem.ask("", "You are brief.", &format!("Question {question}?"), 8, &mut reply).await?;
        // The first one starts the engine.
        if question > 0 {
            seconds.push(reply.to_first().as_secs_f64());
        }
    }
    tandem.stop().await?;
    let middle = median(&seconds).context("no answers")?;
    let late = percentile(&seconds, 0.95).context("no answers")?;
    Ok(vec![
        Measure::new("question to first word, median", Unit::Milliseconds, middle * 1e3),
        Measure::new("question to first word, 95 %", Unit::Milliseconds, late * 1e3),
        Measure::milliseconds("start to ready", start),
        Measure::bytes("resident when idle, no model", memory.resident),
    ])
}
