//! Knows what the slow track costs: reserves before a request leaves, settles when it has ended, and
//! records both in the egress ledger.
//!
//! Nothing leaves unless three things were done before: the most that it can cost fits into every
//! budget, the store has it on disk as an open attempt, and the ledger has it on disk. Whatever then
//! happens to the daemon, the request is counted: an attempt that is found open at the next start
//! counts in full.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tandem_config::{Budget, Price, Provider as Settings};
use tandem_ledger::{Ended, Entry, Head, Outcome, Tokens};
use tandem_proto::v1::{AuditResponse, Usage};
use tokio::task::JoinSet;
use tracing::{error, warn};
use uuid::Uuid;

use crate::memory_store::MemoryStore;
use crate::memory_store::books::{Attempt, Batch, LocalAnswer};
use crate::router::pacing;
use crate::{Address, Error, Node, Result};

mod bill;
mod calendar;
mod demand;
mod follow;
mod price;
mod purse;
mod report;
mod scribe;
mod sums;
#[cfg(test)]
mod tests;

use bill::Closing;
pub(crate) use bill::Departure;
use demand::Demand;
use follow::Follow;
use purse::{Cap, Purse};
use scribe::Scribe;
use sums::Sums;

/// Longest wait for the ledger; a slow disk needs seconds.
const LEDGER_DEADLINE: Duration = Duration::from_secs(10);
/// How often what was settled is added to the sums.
const SUM_UP_INTERVAL: Duration = Duration::from_secs(10);
/// So many answers of the local model are summed up at once.
const LOCAL_ANSWERS_GROUP: usize = 256;
/// Answers of the local model that wait while the store is away; those behind them are not counted.
const LOCAL_ANSWERS_MAX: usize = 100_000;
/// Longest wait for attempts to be settled when the daemon ends.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// How everyone else knows and changes what was spent. Cheap to clone; outlives the actor's restarts.
#[derive(Debug, Clone)]
pub struct Bookkeeper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: Address<Message>,
    store: MemoryStore,
    budget: Budget,
    caps: Vec<Cap>,
    prices: BTreeMap<String, Price>,
    /// `None` until it is known what was spent before.
    purse: Mutex<Option<Purse>>,
    demand: Mutex<Demand>,
    ledger: Mutex<LedgerEnd>,
}

/// What is known of the ledger.
#[derive(Debug, Default)]
struct LedgerEnd {
    folder: PathBuf,
    head: Option<Head>,
    problem: String,
}

impl Bookkeeper {
    /// The books of a configuration; nobody keeps them yet.
    #[must_use]
    pub fn new(
        budget: &Budget,
        providers: &BTreeMap<String, Settings>,
        store: &MemoryStore,
    ) -> Self {
        let prices = providers.iter().map(|(name, it)| (name.clone(), it.price.clone()));
        Self {
            shared: Arc::new(Shared {
                address: Address::new("the bookkeeper"),
                store: store.clone(),
                budget: budget.clone(),
                caps: Cap::all(budget, providers),
                prices: prices.collect(),
                purse: Mutex::default(),
                demand: Mutex::default(),
                ledger: Mutex::default(),
            }),
        }
    }

    /// The most that an answer of this provider can cost, in millionths of the currency; 0 where no
    /// price is known.
    #[must_use]
    pub fn worst_case(&self, provider: &str, prompt_tokens: u32, max_tokens: u32) -> u64 {
        self.worst(provider, prompt_tokens, max_tokens).unwrap_or(0)
    }

    /// Whether a request to `provider` that costs at most so much would be let go now. Asks nobody and
    /// reserves nothing.
    ///
    /// [`Error::BudgetSpent`] when not, or [`Error::Restarting`] while it is not known.
    pub fn can_spend(&self, provider: &str, micros: u64) -> Result<()> {
        self.purse(|purse, now| purse.check(provider, micros, now))?
    }

    /// The local model answered: nothing to pay, but something saved.
    pub fn answered_locally(
        &self,
        model: &str,
        conversation: &str,
        usage: &Usage,
        total: Duration,
    ) {
        let tokens = tokens_of(usage);
        let saved = self.reference().and_then(|(_, price)| price::cost(price, tokens));
        let answer = LocalAnswer {
            day: calendar::day(Timestamp::now()),
            model: model.to_owned(),
            conversation: conversation.to_owned(),
            tokens,
            saved_micros: saved.unwrap_or(0),
            total_ms: milliseconds(total),
        };
        // Between two lives of the actor an answer is not counted.
        drop(self.shared.address.cast(Message::Local(Box::new(answer))));
    }

    /// The end of the egress ledger.
    #[must_use]
    pub fn audit(&self) -> AuditResponse {
        let ledger = self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let head = ledger.head.clone();
        AuditResponse {
            folder: ledger.folder.display().to_string(),
            records: head.as_ref().map_or(0, |head| head.records),
            hash: head.map(|head| head.hash).unwrap_or_default(),
            problem: ledger.problem.clone(),
        }
    }

    fn worst(&self, provider: &str, prompt_tokens: u32, max_tokens: u32) -> Option<u64> {
        price::worst(self.shared.prices.get(provider)?, prompt_tokens.into(), max_tokens.into())
    }

    fn cost(&self, provider: &str, tokens: Tokens) -> Option<u64> {
        price::cost(self.shared.prices.get(provider)?, tokens)
    }

    /// The provider whose price says what the fast track saves: the first that has one.
    fn reference(&self) -> Option<(&String, &Price)> {
        self.shared.prices.iter().find(|(_, price)| price.is_known())
    }

    fn purse<T>(&self, work: impl FnOnce(&mut Purse, Timestamp) -> T) -> Result<T> {
        let mut purse = self.shared.purse.lock().unwrap_or_else(PoisonError::into_inner);
        let restarting = || Error::Restarting { part: "the bookkeeper".to_owned() };
        Ok(work(purse.as_mut().ok_or_else(restarting)?, Timestamp::now()))
    }
}

/// Whether the API may charge for a request that was not answered.
pub(crate) type Owed = Arc<std::sync::atomic::AtomicBool>;

/// How to start the actor.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// Folder of the egress ledger; made when it is not there.
    pub ledger: PathBuf,
    /// Where the actor will be reached.
    pub handle: Bookkeeper,
    /// Its place in the tree.
    pub node: Node,
}

/// Messages of the actor. Use [`Bookkeeper`].
#[derive(Debug)]
#[allow(private_interfaces, reason = "the actor's own messages")]
pub enum Message {
    /// Writes a record to the ledger; the reply says that it is on disk.
    Record(Box<Entry>, RpcReplyPort<Result<()>>),
    /// Sees a request through to its end.
    Follow(Box<Follow>),
    /// Makes a settlement last.
    Close(Box<Closing>),
    /// The local model answered.
    Local(Box<LocalAnswer>),
    /// Adds to the sums what came since, and tells whoever waits for it.
    SumUp(Option<RpcReplyPort<Result<()>>>),
    /// What became of the batch that the store was given.
    Summed(Result<()>),
}

/// The actor behind a [`Bookkeeper`].
#[derive(Debug, Clone, Copy)]
pub struct BookkeeperActor;

/// One life.
#[derive(Debug)]
pub struct State {
    handle: Bookkeeper,
    node: Node,
    scribe: Scribe,
    /// Requests that are followed, and settlements that are made to last.
    tasks: JoinSet<()>,
    sums: Sums,
    /// The ledger's end as the store knows it.
    noted: Option<Head>,
}

impl Actor for BookkeeperActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        Arguments { ledger, handle, node }: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let now = Timestamp::now();
        let first_day =
            calendar::first_day_of_month(now).min(calendar::day(now).saturating_sub(pacing::DAYS));
        let opening = handle.shared.store.open_books(first_day).await?;
        let scribe = Scribe::start(ledger, opening.head.clone(), handle.clone())?;
        let mut state = State {
            handle: handle.clone(),
            node,
            scribe,
            tasks: JoinSet::new(),
            sums: Sums::default(),
            noted: opening.head.clone(),
        };
        for (id, attempt) in &opening.lost {
            warn!(provider = attempt.provider, "a request was under way when the daemon ended");
            state.record_lost(*id, attempt);
        }
        handle.load(&opening, now);
        handle.shared.address.publish(myself.clone());
        drop(myself.send_after(SUM_UP_INTERVAL, || Message::SumUp(None)));
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // What has ended is forgotten, so that the set is as large as what is under way.
        while let Some(ended) = state.tasks.try_join_next() {
            if let Err(error) = ended {
                error!(%error, "a request's bill was lost by a defect; it will count in full");
            }
        }
        match message {
            Message::Record(entry, reply) => state.scribe.pen().record(*entry, Some(reply)),
            Message::Follow(follow) => {
                state.tasks.spawn(follow.run(state.scribe.pen()));
            }
            Message::Close(closing) => {
                let (handle, pen) = (state.handle.clone(), state.scribe.pen());
                state.tasks.spawn(async move { handle.close(*closing, &pen).await });
            }
            Message::Local(answer) => {
                if state.sums.add(*answer) {
                    state.sum_up(&myself);
                }
            }
            Message::SumUp(reply) => {
                match reply {
                    Some(reply) => state.sums.tell(reply),
                    None => drop(myself.send_after(SUM_UP_INTERVAL, || Message::SumUp(None))),
                }
                state.sum_up(&myself);
            }
            Message::Summed(done) => {
                if state.sums.acknowledge(&done) {
                    state.sum_up(&myself);
                }
            }
        }
        state.node.set_queue(state.tasks.len());
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // The providers have ended, and with them all that is followed.
        let drained = async { while state.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_DEADLINE, drained).await.is_err() {
            warn!("attempts are not settled in time; they will count in full");
            state.tasks.shutdown().await;
        }
        loop {
            // What the store was given and did not acknowledge comes first; it knows if it has it.
            let is_last = !state.sums.is_uncertain();
            let batch = state.next_batch();
            let summed = state.handle.shared.store.sum_up(batch).await;
            state.sums.acknowledge(&summed);
            if is_last || summed.is_err() {
                break;
            }
        }
        state.scribe.finish().await;
        Ok(())
    }
}

impl State {
    fn record_lost(&mut self, id: Uuid, attempt: &Attempt) {
        let ended = Ended {
            attempt: id.to_string(),
            outcome: Outcome::Lost,
            tokens: Tokens::default(),
            estimated: true,
            cost_micros: attempt.reserved_micros,
        };
        self.scribe.pen().record(Entry::Ended(ended), None);
    }

    /// Gives the store what is to be added, unless it is at it.
    fn sum_up(&mut self, myself: &ActorRef<Message>) {
        if self.sums.under_way() {
            return;
        }
        let (batch, store, myself) =
            (self.next_batch(), self.handle.shared.store.clone(), myself.clone());
        self.tasks.spawn(async move {
            drop(myself.cast(Message::Summed(store.sum_up(batch).await)));
        });
    }

    fn next_batch(&mut self) -> Batch {
        let (handle, noted) = (&self.handle, &mut self.noted);
        self.sums.give(|| {
            let ledger = handle.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            let head = ledger.head.clone().filter(|head| noted.as_ref() != Some(head));
            if head.is_some() {
                noted.clone_from(&head);
            }
            (handle.changed_scores(), head)
        })
    }
}

/// Tokens as the books count them.
fn tokens_of(usage: &Usage) -> Tokens {
    Tokens {
        prompt: usage.prompt_tokens.into(),
        cached: usage.cached_tokens.into(),
        completion: usage.completion_tokens.into(),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
