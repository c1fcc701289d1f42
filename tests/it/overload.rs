//! Ten times as many clients as there are places, for a while.
//!
//! Times depend on the machine and are printed, not judged.
#![allow(clippy::print_stdout, reason = "a measurement")]

use std::time::{Duration, Instant};

use futures::future::join_all;
use tandem_client::Client;
use tandem_proto::error as reason;
use tandem_proto::v1::{AskRequest, Policy, Priority, Sampling};
use tandem_tests::{Asking, Daemon, Setup, question, resident_bytes};
use tonic::Code;

/// How long the load lasts, in seconds.
const SECONDS_VARIABLE: &str = "TANDEM_TEST_OVERLOAD_SECONDS";
const RUNNING_MAX: u32 = 4;
const WAITING_MAX: u32 = 16;
const CLIENTS: u32 = 10 * (RUNNING_MAX + WAITING_MAX);
/// Questions of a person while nothing else is asked.
const UNLOADED: usize = 40;
/// After how many milliseconds clients that were refused come back; unset: when they are told to.
const PAUSE_VARIABLE: &str = "TANDEM_TEST_OVERLOAD_PAUSE";
/// What the daemon may grow by once it has seen the load for half the time.
const GROWTH_MAX: u64 = 32 << 20;

#[tokio::test]
async fn under_ten_times_the_load_every_question_is_answered_or_told_when_to_come_back() {
    let seconds = std::env::var(SECONDS_VARIABLE).map_or(10, |text| text.parse().unwrap());
    let config = format!("[router]\nrunning_max = {RUNNING_MAX}\nwaiting_max = {WAITING_MAX}\n");
    let daemon = Setup::real().config(&config).start().await;
    // Loads the model.
    first_token(&daemon).await;
    let mut unloaded = Vec::new();
    for _ in 0..UNLOADED {
        unloaded.push(first_token(&daemon).await);
    }

    let (start, duration) = (Instant::now(), Duration::from_secs(seconds));
    let memory = || resident_bytes(daemon.pid());
    let before = memory();
    let clients = join_all((0..CLIENTS).map(|number| client(&daemon, number, start + duration)));
    let person = async {
        let mut loaded = Vec::new();
        while start.elapsed() < duration {
            loaded.push(first_token(&daemon).await);
        }
        loaded
    };
    let middle = async {
        tokio::time::sleep(duration / 2).await;
        memory()
    };
    let (served, loaded, middle) = futures::join!(clients, person, middle);
    let after = memory();

    let answered: usize = served.iter().map(|served| served.answered).sum();
    let refusals: Vec<_> = served.into_iter().flat_map(|served| served.refusals).collect();
    println!("{CLIENTS} clients, {seconds} s: {answered} answered, {} refused", refusals.len());
    println!("refusals: {}", spread(refusals.clone()));
    println!("first token of a person, unloaded: {}", spread(unloaded));
    println!("first token of a person, loaded:   {}", spread(loaded));
    let [before, middle, after] = [before, middle, after].map(|bytes| bytes >> 10);
    println!("resident memory of the daemon: {before}, {middle}, {after} KiB");

    assert!(answered > 0 && !refusals.is_empty(), "there was a load");
    assert!(after <= middle + (GROWTH_MAX >> 10), "{middle} KiB became {after} KiB");
    let refused = daemon.status().await.admission.unwrap().refused;
    assert_eq!(refused, refusals.len() as u64);
    daemon.until("quiet", |status| status.admission.as_ref().unwrap().clients.is_empty()).await;
}

/// What became of the questions of one client.
#[derive(Default)]
struct Served {
    answered: usize,
    /// How long it took to be refused.
    refusals: Vec<Duration>,
}

/// Asks over a connection of its own, one question after the other.
async fn client(daemon: &Daemon, number: u32, end: Instant) -> Served {
    let connection = Client::connect(&daemon.home().socket()).await.unwrap();
    let priority = if number.is_multiple_of(4) { Priority::Low } else { Priority::Normal };
    let mut served = Served::default();
    let pause = std::env::var(PAUSE_VARIABLE);
    let pause = pause.ok().map(|text| Duration::from_millis(text.parse().unwrap()));
    while Instant::now() < end {
        let asked = Instant::now();
        let request = AskRequest { client: format!("client {number}"), ..short(priority) };
        match Asking::begin(&connection, request).await {
            Ok(asking) => {
                asking.finish().await.complete();
                served.answered += 1;
            }
            Err(failure) => {
                served.refusals.push(asked.elapsed());
                let refusal = (failure.code, failure.reason.as_str());
                assert_eq!(refusal, (Code::ResourceExhausted, reason::OVERLOADED), "{failure:?}");
                let retry_after = failure.retry_after.unwrap();
                assert!(retry_after > Duration::ZERO, "{failure:?}");
                tokio::time::sleep(pause.unwrap_or(retry_after)).await;
            }
        }
    }
    served
}

/// How long a person waits for the first token. There is always a place.
async fn first_token(daemon: &Daemon) -> Duration {
    let asked = Instant::now();
    let request = AskRequest { client: "person".to_owned(), ..short(Priority::High) };
    let mut asking = daemon.begin(request).await;
    asking.until_text(1).await;
    let first = asked.elapsed();
    asking.finish().await.complete();
    first
}

fn short(priority: Priority) -> AskRequest {
    AskRequest {
        policy: Policy::Fast.into(),
        priority: priority.into(),
        sampling: Some(Sampling {
            max_tokens: Some(8),
            temperature: Some(0.0),
            ..Sampling::default()
        }),
        ..question("Name a colour.")
    }
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    let (p50, p95, most) = (at(50), at(95), at(100));
    format!("p50 {p50:.1} ms, p95 {p95:.1} ms, max {most:.1} ms, of {}", times.len())
}
