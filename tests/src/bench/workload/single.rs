//! One client.

use std::time::Instant;

use anyhow::Result;

use super::{Measure, Task, Unit};
use crate::bench::chat::Request;
use crate::bench::contender::Contender;
use crate::bench::process::Busy;
use crate::bench::tandem::Room;

const ROOM: Room = Room { context: 8192, sequences: 4 };

/// A chat of ten turns; tandem keeps it as a conversation.
pub(super) async fn conversation(contender: &Contender, task: Task<'_>) -> Result<Vec<Measure>> {
    let server = contender.start_warm(task.plan, ROOM).await?;
    let system = task.ruler.text(task.seed, task.scale.prompt(1500));
    let turns = task.scale.times(10);
    let tokens = task.scale.answer(32);
    let mut dialogue = server.talk(&system).await?;
    let mut measures = Vec::new();
    for turn in 1..=turns {
        let topic = task.ruler.text(task.seed * 1000 + u64::from(turn), 24);
        let reply =
            server.turn(&mut dialogue, &format!("What about this? {topic}"), tokens).await?;
        let name = format!("first token, turn {turn}");
        let mut measure = Measure::milliseconds(name, reply.to_first());
        measure.headline = turn == turns;
        measures.push(measure);
    }
    server.stop().await?;
    Ok(measures)
}

/// One answer while as many processes as there are cores do nothing but compute.
pub(super) async fn busy(contender: &Contender, task: Task<'_>) -> Result<Vec<Measure>> {
    let server = contender.start_warm(task.plan, ROOM).await?;
    let topic = task.ruler.text(task.seed, 48);
    let request = Request::new("You are a helpful assistant.", &topic, task.scale.answer(64));
    let busy = Busy::start()?;
    let reply = server.chat(&request).await;
    drop(busy);
    let reply = reply?;
    server.stop().await?;
    Ok(vec![
        Measure::headline("after the first token", Unit::TokensPerSecond, reply.rate()),
        Measure::milliseconds("first token", reply.to_first()),
    ])
}

/// A system prompt is used, the server ends and starts again, and the same prompt is used.
pub(super) async fn restart(contender: &Contender, task: Task<'_>) -> Result<Vec<Measure>> {
    let mut server = contender.start_warm(task.plan, ROOM).await?;
    let system = task.ruler.text(task.seed, task.scale.prompt(1500));
    server.ask(&system, "What is this about?", 8).await?;
    let (started, ready) = server.restart().await?;
    let reply = server.ask(&system, "Which sentence is the most important one?", 8).await?;
    server.stop().await?;
    let first = reply.sent + reply.to_first();
    let from = |begin: Instant| first.saturating_duration_since(begin).as_secs_f64();
    Ok(vec![
        Measure::headline(
            "from the start of the process to the first token",
            Unit::Seconds,
            from(started),
        ),
        Measure::new("of this, from when it accepts questions", Unit::Seconds, from(ready)),
    ])
}

/// An answer that repeats its prompt. Longer texts, or with a word to be changed, are more than
/// models of some hundred million weights can do: they soon say something else.
pub(super) async fn quote(contender: &Contender, task: Task<'_>) -> Result<Vec<Measure>> {
    let server = contender.start_warm(task.plan, ROOM).await?;
    let text = task.ruler.text(task.seed, task.scale.prompt(80));
    let question = format!("Repeat this text word for word, and nothing else: {text}");
    let system = "You repeat texts word for word.";
    let request = Request::new(system, &question, task.scale.answer(80));
    let reply = server.chat(&request).await?;
    server.stop().await?;
    Ok(vec![
        Measure::headline("after the first token", Unit::TokensPerSecond, reply.rate()),
        Measure::milliseconds("first token", reply.to_first()),
    ])
}
