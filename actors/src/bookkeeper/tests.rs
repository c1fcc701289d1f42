//! Tests of the actor with a real store and a real ledger.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::sync::atomic::Ordering;

use futures::future::join_all;
use tandem_ledger::{Source, read, verify};
use tandem_proto::v1::{NoticeKind, UsageRequest, UsageResponse};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::memory_store::{self, MemoryStoreActor};
use crate::{Completion, TrackEvent, TrackEvents, Tree};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// Tokens of every prompt and longest answer, each of which costs a millionth.
const PROMPT: u32 = 40;
const ANSWER: u32 = 60;
const WORST: u64 = 100;

struct Life {
    books: Bookkeeper,
    actor: ActorRef<Message>,
    ended: JoinHandle<()>,
    store: ActorRef<memory_store::Message>,
    store_ended: JoinHandle<()>,
}

impl Life {
    async fn start(dir: &TempDir, day: Option<u64>) -> Self {
        let tree = Tree::new();
        let root = tree.root("tandem");
        let handle = MemoryStore::new();
        let arguments = memory_store::Arguments {
            dir: dir.path().join("store"),
            retention: Duration::ZERO,
            size_max: 0,
            handle: handle.clone(),
            node: root.child("memory_store"),
        };
        let (store, store_ended) = Actor::spawn(None, MemoryStoreActor, arguments).await.unwrap();
        let mut far = Settings::new("http://far.example:8080/v1", "large");
        far.price.input_per_million = Some(1_000_000);
        far.price.output_per_million = Some(1_000_000);
        let providers = BTreeMap::from([
            ("far".to_owned(), far),
            ("unpriced".to_owned(), Settings::new("http://h/v1", "m")),
        ]);
        let budget = Budget { day, ..Budget::default() };
        let books = Bookkeeper::new(&budget, &providers, &handle);
        let arguments = Arguments {
            ledger: dir.path().join("audit"),
            handle: books.clone(),
            node: root.child("bookkeeper"),
        };
        let (actor, ended) = Actor::spawn(None, BookkeeperActor, arguments).await.unwrap();
        Self { books, actor, ended, store, store_ended }
    }

    async fn stop(self) {
        self.actor.stop(None);
        self.ended.await.unwrap();
        self.store.stop(None);
        self.store_ended.await.unwrap();
    }

    /// Ends without any clean-up of the actors.
    async fn kill(self) {
        self.actor.kill();
        self.ended.await.unwrap();
        self.store.kill();
        self.store_ended.await.unwrap();
    }

    async fn usage(&self) -> UsageResponse {
        self.books.usage(UsageRequest::default(), 0.5).await.unwrap()
    }

    async fn spent(&self) -> u64 {
        self.usage().await.slow.unwrap().cost_micros
    }

    /// Lets a request go and follows it.
    async fn send(&self) -> Result<(mpsc::Sender<TrackEvent>, TrackEvents, Owed)> {
        let bill = self.books.begin(departure("far")).await?;
        let (events, provider) = mpsc::channel(8);
        let owed = Owed::default();
        Ok((events, self.books.follow(bill, provider, Owed::clone(&owed))?, owed))
    }
}

fn departure(provider: &str) -> Departure {
    Departure {
        turn: "turn".into(),
        conversation: String::new(),
        provider: provider.into(),
        model: "large".into(),
        host: "far.example:8080".into(),
        policy: "auto".into(),
        reason: "é".repeat(400),
        body_bytes: 3,
        body_sha256: tandem_ledger::digest(b"abc"),
        redactions: BTreeMap::new(),
        prompt_tokens: PROMPT,
        max_tokens: ANSWER,
    }
}

fn done(completion_tokens: u32) -> TrackEvent {
    TrackEvent::Done(Completion {
        usage: Usage { prompt_tokens: PROMPT, completion_tokens, ..Usage::default() },
        ..Completion::whole()
    })
}

fn delta(text: &str) -> TrackEvent {
    TrackEvent::Delta { text: text.into(), reasoning: String::new(), logprobs: Vec::new() }
}

async fn last_of(mut events: TrackEvents) -> Option<TrackEvent> {
    let mut last = None;
    while let Some(event) = timeout(PATIENCE, events.recv()).await.unwrap() {
        last = Some(event);
    }
    last
}

async fn last(events: TrackEvents) -> TrackEvent {
    last_of(events).await.unwrap()
}

fn ledger(dir: &TempDir) -> Vec<Entry> {
    let source = Source::Folder(dir.path().join("audit"));
    let head = Head::noted(&dir.path().join("audit"));
    assert_eq!(verify(&source, head.as_ref()).unwrap().fault, None);
    let mut entries = Vec::new();
    read(&source, |record| entries.push(record.entry)).unwrap();
    entries
}

fn outcomes(dir: &TempDir) -> Vec<(Outcome, Option<u64>)> {
    let ends = ledger(dir).into_iter().filter_map(|entry| match entry {
        Entry::Ended(ended) => Some((ended.outcome, ended.cost_micros)),
        _ => None,
    });
    ends.collect()
}

#[tokio::test]
async fn two_hundred_requests_at_once_never_pass_the_cap() {
    let dir = tempfile::tempdir().unwrap();
    let cap = 20 * WORST + 50;
    let life = Life::start(&dir, Some(cap)).await;
    let asked = (0..200_u32).map(|number| {
        let life = &life;
        async move {
            let (provider, followed, _) = life.send().await.ok()?;
            provider.send(done(number % (ANSWER + 1))).await.unwrap();
            let TrackEvent::Done(completion) = last(followed).await else { panic!("not done") };
            completion.cost_micros
        }
    });
    let costs: Vec<u64> = join_all(asked).await.into_iter().flatten().collect();
    let sum: u64 = costs.iter().sum();
    // All that were let go together may cost all there is, so twenty went at least.
    assert!(costs.len() >= 20 && sum <= cap, "{} cost {sum}", costs.len());
    assert_eq!(life.spent().await, sum);
    let budget = life.usage().await.caps.remove(0);
    assert_eq!((budget.spent_micros, budget.reserved_micros), (sum, 0));
    let refused = life.books.can_spend("far", cap - sum + 1).unwrap_err();
    assert!(matches!(refused, Error::BudgetSpent { .. }), "{refused}");
    life.stop().await;
    assert_eq!(ledger(&dir).len(), 2 * costs.len());
}

#[tokio::test]
async fn a_request_that_was_under_way_in_a_crash_counts_in_full() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, Some(250)).await;
    let under_way = [life.send().await.unwrap(), life.send().await.unwrap()];
    let refused = life.send().await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::BudgetSpent { .. }), "{refused}");
    life.kill().await;
    drop(under_way);

    let life = Life::start(&dir, Some(250)).await;
    assert_eq!(life.spent().await, 2 * WORST);
    assert!(life.books.can_spend("far", 51).is_err());
    life.books.can_spend("far", 50).unwrap();
    life.stop().await;
    assert_eq!(outcomes(&dir), [(Outcome::Lost, Some(WORST)); 2]);

    let life = Life::start(&dir, None).await;
    assert_eq!(life.spent().await, 2 * WORST, "counted once");
    life.stop().await;
}

#[tokio::test]
async fn a_bookkeeper_that_dies_alone_leaves_the_request_open_and_it_counts_in_full() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, Some(250)).await;
    let (provider, followed, _) = life.send().await.unwrap();
    life.actor.kill();
    life.ended.await.unwrap();
    // The task that followed the request is gone, and with it the request.
    timeout(PATIENCE, provider.closed()).await.unwrap();
    assert!(last_of(followed).await.is_none());
    life.books.can_spend("far", 151).unwrap_err();
    life.store.stop(None);
    life.store_ended.await.unwrap();

    let life = Life::start(&dir, Some(250)).await;
    assert_eq!(life.spent().await, WORST);
    life.stop().await;
    assert_eq!(outcomes(&dir), [(Outcome::Lost, Some(WORST))]);
}

#[tokio::test]
async fn the_caller_is_told_when_a_budget_is_nearly_spent() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, Some(100)).await;
    let (provider, mut followed, _) = life.send().await.unwrap();
    let told = timeout(PATIENCE, followed.recv()).await.unwrap();
    assert!(matches!(told, Some(TrackEvent::Notice(NoticeKind::Budget, _))), "{told:?}");
    provider.send(done(3)).await.unwrap();
    last(followed).await;
    life.stop().await;
}

#[tokio::test]
async fn nothing_is_let_go_that_cannot_be_recorded_and_nothing_is_spent() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("audit"), "in the way").unwrap();
    let life = Life::start(&dir, Some(WORST)).await;
    for _ in 0..3 {
        // Each gives back what it reserved, or the second would be refused for want of budget.
        let refused = timeout(PATIENCE, async {
            loop {
                match life.send().await.map(drop).unwrap_err() {
                    Error::BudgetSpent { .. } => tokio::task::yield_now().await,
                    refused => return refused,
                }
            }
        });
        let refused = refused.await.unwrap();
        assert!(matches!(refused, Error::Ledger { .. }), "{refused}");
        assert!(refused.other_track_may_answer());
    }
    assert!(!life.books.audit().problem.is_empty());
    assert_eq!(life.spent().await, 0);

    std::fs::remove_file(dir.path().join("audit")).unwrap();
    let (provider, followed, _) = life.send().await.unwrap();
    provider.send(done(1)).await.unwrap();
    last(followed).await;
    assert_eq!(life.books.audit().problem, "");
    life.stop().await;
    assert_eq!(outcomes(&dir), [(Outcome::Answered, Some(41))]);
}

#[tokio::test]
async fn who_goes_away_pays_for_what_was_read_and_no_more_than_was_reserved() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, None).await;
    for text in ["0123456789", "a long answer ".repeat(100).as_str()] {
        let (provider, mut followed, owed) = life.send().await.unwrap();
        owed.store(true, Ordering::Relaxed);
        provider.send(delta(text)).await.unwrap();
        followed.recv().await.unwrap();
        drop(followed);
        timeout(PATIENCE, provider.closed()).await.unwrap();
    }
    life.stop().await;
    let cancelled = |cost| (Outcome::Cancelled, Some(cost));
    let mut outcomes = outcomes(&dir);
    outcomes.sort_by_key(|(_, cost)| *cost);
    assert_eq!(outcomes, [cancelled(u64::from(PROMPT) + 5), cancelled(WORST)]);
}

#[tokio::test]
async fn an_answer_without_reported_tokens_is_charged_by_estimate() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, None).await;
    let (provider, followed, _) = life.send().await.unwrap();
    provider.send(delta("0123456789")).await.unwrap();
    provider.send(TrackEvent::Done(Completion::whole())).await.unwrap();
    let TrackEvent::Done(completion) = last(followed).await else { panic!("not done") };
    assert_eq!(completion.cost_micros, Some(u64::from(PROMPT) + 5));
    life.stop().await;
}

#[tokio::test]
async fn a_failure_costs_nothing_unless_the_api_had_begun() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, None).await;
    for (begun, cost) in [(false, 0), (true, u64::from(PROMPT))] {
        let (provider, followed, owed) = life.send().await.unwrap();
        owed.store(begun, Ordering::Relaxed);
        let error = Error::ProviderFailed {
            provider: "far".into(),
            problem: "why".into(),
            retry_after: None,
        };
        provider.send(TrackEvent::Failed(error.clone())).await.unwrap();
        assert_eq!(last(followed).await, TrackEvent::Failed(error));
        assert_eq!(life.spent().await, cost);
    }
    life.stop().await;
    assert_eq!(outcomes(&dir), [(Outcome::Failed, Some(0)), (Outcome::Failed, Some(40))]);
}

#[tokio::test]
async fn a_provider_that_dies_under_a_request_ends_it_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, None).await;
    let (provider, followed, _) = life.send().await.unwrap();
    drop(provider);
    let ended = last(followed).await;
    assert!(matches!(ended, TrackEvent::Failed(Error::Restarting { .. })), "{ended:?}");
    life.stop().await;
}

#[tokio::test]
async fn what_is_under_way_is_settled_before_an_orderly_end() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, None).await;
    let (provider, followed, _) = life.send().await.unwrap();
    // It is followed by now.
    life.usage().await;
    // As the providers end before their bookkeeper does.
    drop((provider, followed));
    life.stop().await;
    let ended = outcomes(&dir);
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_ne!(ended[0].0, Outcome::Lost);
}

#[tokio::test]
async fn what_the_local_model_saves_is_the_price_of_the_first_provider_that_has_one() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, None).await;
    let usage = Usage { prompt_tokens: 10, completion_tokens: 5, ..Usage::default() };
    for _ in 0..300 {
        life.books.answered_locally("small", "", &usage, Duration::from_millis(2));
    }
    let used = life.usage().await;
    assert_eq!(used.saved_against, "far");
    assert_eq!(used.unpriced_providers, ["unpriced"]);
    let fast = used.fast.unwrap();
    assert_eq!((fast.answered, fast.saved_micros, fast.total_ms), (300, 4_500, 600));
    assert_eq!((used.rows.len(), used.rows[0].name.as_str()), (1, "local"));
    life.stop().await;
}

#[tokio::test]
async fn an_answer_without_a_price_is_counted_and_costs_nothing_that_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, Some(0)).await;
    let bill = life.books.begin(departure("unpriced")).await.unwrap();
    let (provider, events) = mpsc::channel(8);
    let followed = life.books.follow(bill, events, Owed::default()).unwrap();
    provider.send(done(3)).await.unwrap();
    let TrackEvent::Done(completion) = last(followed).await else { panic!("not done") };
    assert_eq!(completion.cost_micros, None);
    let slow = life.usage().await.slow.unwrap();
    assert_eq!((slow.requests, slow.unpriced, slow.cost_micros), (1, 1, 0));
    life.stop().await;
}

#[tokio::test]
async fn a_ledger_that_was_cut_while_nobody_looked_is_noticed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, None).await;
    let (provider, followed, _) = life.send().await.unwrap();
    provider.send(done(3)).await.unwrap();
    last(followed).await;
    life.stop().await;
    // Whoever did it knew of the file beside it, and not of the store.
    let audit = dir.path().join("audit");
    std::fs::write(audit.join(tandem_ledger::CURRENT), "").unwrap();
    std::fs::remove_file(audit.join("head.json")).unwrap();

    let life = Life::start(&dir, None).await;
    life.stop().await;
    assert_eq!(ledger(&dir), [Entry::Missing { expected: 2, found: 0 }]);
}

#[tokio::test]
async fn what_the_store_did_not_take_is_summed_up_once_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let life = Life::start(&dir, None).await;
    let usage = Usage { prompt_tokens: 3, ..Usage::default() };
    life.books.answered_locally("small", "", &usage, Duration::from_millis(2));
    life.store.kill();
    life.store_ended.await.unwrap();
    let address = &life.books.shared.address;
    let summed = address.ask(LEDGER_DEADLINE, |reply| Message::SumUp(Some(reply))).await.unwrap();
    assert!(matches!(summed, Err(Error::Restarting { .. })), "{summed:?}");

    life.books.answered_locally("small", "", &usage, Duration::from_millis(2));
    let arguments = memory_store::Arguments {
        dir: dir.path().join("store"),
        retention: Duration::ZERO,
        size_max: 0,
        handle: life.books.shared.store.clone(),
        node: Tree::new().root("memory_store"),
    };
    let (store, _) = Actor::spawn(None, MemoryStoreActor, arguments).await.unwrap();
    let sum_up = || address.ask(LEDGER_DEADLINE, |reply| Message::SumUp(Some(reply)));
    for _ in 0..3 {
        sum_up().await.unwrap().unwrap();
    }
    let fast = life.books.usage(UsageRequest::default(), 0.5).await.unwrap().fast.unwrap();
    assert_eq!((fast.requests, fast.prompt_tokens), (2, 6));
    life.actor.stop(None);
    life.ended.await.unwrap();
    store.stop(None);
}
