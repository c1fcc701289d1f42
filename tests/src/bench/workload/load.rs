//! Several clients at once.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use tokio::sync::watch;

use super::{Measure, Task, Unit};
use crate::bench::chat::{Reply, Request};
use crate::bench::contender::Contender;
use crate::bench::statistics::{median, percentile};
use crate::bench::tandem::Room;

const SYSTEM: &str = "You are a helpful assistant. Answer at length.";

/// Short chats of 1, 4 and 16 clients, a fresh question each time.
pub(super) async fn clients(contender: &Contender, task: Task<'_>) -> Result<Vec<Measure>> {
    let server = contender.start_warm(task.plan, Room { context: 16_384, sequences: 16 }).await?;
    let tokens = task.scale.answer(64);
    let mut measures = Vec::new();
    for (clients, rounds) in [(1, 4), (4, 2), (16, 1)] {
        let rounds = task.scale.times(rounds);
        let begun = Instant::now();
        let client = async |client: u32| -> Result<Vec<Reply>> {
            let mut replies = Vec::new();
            for round in 0..rounds {
                let seed = task.seed * 1_000_000 + u64::from(clients * 1000 + round * 100 + client);
                let topic = task.ruler.text(seed, 24);
                let question = format!("Tell me more about this. {topic}");
                replies.push(server.chat(&Request::new(SYSTEM, &question, tokens)).await?);
            }
            Ok(replies)
        };
        let replies = try_join_all((0..clients).map(client)).await?;
        let replies: Vec<Reply> = replies.into_iter().flatten().collect();
        let end = replies.iter().map(Reply::end).max().unwrap_or(begun);
        let produced: u32 = replies.iter().map(|reply| reply.tokens).sum();
        let rate = f64::from(produced) / (end - begun).as_secs_f64();
        let name = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        let in_all = format!("{name}, in all");
        measures.push(Measure::headline(in_all, Unit::TokensPerSecond, rate));
        if clients == 1 {
            let rates: Vec<f64> = replies.iter().map(Reply::rate).collect();
            let rate = median(&rates).context("no answers")?;
            measures.push(Measure::new(DECODING, Unit::TokensPerSecond, rate));
        }
        let first = median(&first_seconds(&replies)).context("no answers")?;
        let first_name = format!("{name}, first token, median");
        measures.push(Measure::new(first_name, Unit::Milliseconds, first * 1e3));
    }
    server.stop().await?;
    Ok(measures)
}

/// The measure that is compared with what memory allows.
pub(in crate::bench) const DECODING: &str = "1 client, after the first token";

/// 16 clients that have different questions about the same long text, which is new.
pub(super) async fn shared(contender: &Contender, task: Task<'_>) -> Result<Vec<Measure>> {
    const CLIENTS: usize = 16;
    let prompt = task.scale.prompt(3000);
    let room = Room { context: CLIENTS as u32 * (prompt + 300), sequences: CLIENTS as u32 };
    let server = contender.start_warm(task.plan, room).await?;
    let context = task.ruler.text(task.seed, prompt);
    let tokens = task.scale.answer(32);
    let requests = (0..CLIENTS).map(|client| {
        Request::new(
            &context,
            &format!("Question {client}: what is sentence {client} about?"),
            tokens,
        )
    });
    let requests: Vec<Request> = requests.collect();
    let begun = Instant::now();
    let replies = try_join_all(requests.iter().map(|request| server.chat(request))).await?;
    let total = replies.iter().map(Reply::end).max().unwrap_or(begun) - begun;
    server.stop().await?;
    let first = first_seconds(&replies);
    let middle = median(&first).context("no answers")?;
    let late = percentile(&first, 0.95).context("no answers")?;
    Ok(vec![
        Measure::headline("first token, median", Unit::Seconds, middle),
        Measure::headline("first token, 95 %", Unit::Seconds, late),
        Measure::headline("until all are answered", Unit::Seconds, total.as_secs_f64()),
    ])
}

/// Four answers are on their way when somebody comes with a long prompt.
pub(super) async fn intruder(contender: &Contender, task: Task<'_>) -> Result<Vec<Measure>> {
    const STREAMS: u64 = 4;
    /// Pieces of each stream before the long prompt comes.
    const FLOWING: usize = 8;
    let prompt = task.scale.prompt(6000);
    // Long enough to go on until the long prompt is answered.
    let tokens = task.scale.answer(800);
    let context = prompt + 500 + STREAMS as u32 * (tokens + 200);
    let server = contender.start_warm(task.plan, Room { context, sequences: 8 }).await?;

    let mut replies: Vec<Reply> = (0..STREAMS).map(|_| Reply::expected()).collect();
    let counts: Vec<_> = replies.iter().map(Reply::count).collect();
    let is_over = watch::Sender::new(false);
    let streams = replies.iter_mut().zip(0..).map(|(reply, stream)| {
        let topic = task.ruler.text(task.seed * 100 + stream, 24);
        let request = Request::new(SYSTEM, &format!("Write a long story. {topic}"), tokens);
        let mut is_over = is_over.subscribe();
        let server = &server;
        async move {
            tokio::select! {
                done = server.stream(&request, reply) => done.context("one of the 4 streams"),
                _ = is_over.wait_for(|over| *over) => Ok(()),
            }
        }
    });
    let long = async {
        for mut count in counts {
            count.wait_for(|pieces| *pieces >= FLOWING).await?;
        }
        let text = task.ruler.text(task.seed, prompt);
        let request = Request::new(&text, "What is this about?", 8);
        let reply = server.chat(&request).await.context("the long prompt")?;
        is_over.send_replace(true);
        anyhow::Ok((reply.sent, reply.sent + reply.to_first()))
    };
    let (_, (sent, answered)) = tokio::try_join!(try_join_all(streams), long)?;
    server.stop().await?;
    // Only what was still running says how it fared.
    let ended_early = replies.iter().filter(|reply| reply.end() < sent).count();
    ensure!(ended_early == 0, "{ended_early} streams ended before the long prompt came");
    let end = |reply: &Reply| if reply.tokens > 0 { reply.end().min(answered) } else { answered };
    let gaps = replies.iter().map(|reply| reply.longest_gap(sent, end(reply)));
    let worst = gaps.max().unwrap_or(Duration::MAX);
    let waited = (answered - sent).as_secs_f64();
    Ok(vec![
        Measure::headline("longest gap in the 4 streams", Unit::Seconds, worst.as_secs_f64()),
        Measure::headline("first token of the long prompt", Unit::Seconds, waited),
    ])
}

fn first_seconds(replies: &[Reply]) -> Vec<f64> {
    replies.iter().map(|reply| reply.to_first().as_secs_f64()).collect()
}
