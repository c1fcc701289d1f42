//! How long a model takes to load and how much memory it takes.

use std::time::Instant;

use anyhow::Result;

use super::{Measure, Task};
use crate::bench::chat::Request;
use crate::bench::contender::Contender;
use crate::bench::tandem::Room;

/// Context with next to no room, to tell the cache from the rest.
const SMALL: Room = Room { context: 512, sequences: 1 };
const LARGE: Room = Room { context: 8192, sequences: 1 };

/// Loads the model twice, with little and with much context, the file being in the page cache from
/// the first time on; then answers once.
pub(super) async fn size(contender: &Contender, task: Task<'_>) -> Result<Vec<Measure>> {
    let small = contender.start(task.plan, SMALL).await?;
    let without_cache = small.memory().await?;
    small.stop().await?;

    let started = Instant::now();
    let server = contender.start(task.plan, LARGE).await?;
    let loading = started.elapsed();
    let loaded = server.memory().await?;
    let prompt = task.ruler.text(task.seed, task.scale.prompt(256));
    let request = Request::new("You read.", &prompt, task.scale.answer(32));
    let reply = server.chat(&request).await?;
    let used = server.memory().await?;
    server.stop().await?;

    let cache = loaded.anonymous.saturating_sub(without_cache.anonymous);
    let mut load = Measure::seconds("start and load, file in the page cache", loading);
    load.headline = true;
    let rate = super::Unit::TokensPerSecond;
    Ok(vec![
        load,
        Measure::bytes("resident after loading, context 8192", loaded.resident),
        Measure::bytes("of this, not the file's own pages", loaded.anonymous),
        Measure::bytes("growth from context 512 to 8192", cache),
        Measure::bytes("resident after one answer", used.resident),
        Measure::bytes("of this, not the file's own pages, after one answer", used.anonymous),
        Measure::seconds("first token of a prompt of 256 tokens", reply.to_first()),
        Measure::new("after the first token", rate, reply.rate()),
    ])
}
