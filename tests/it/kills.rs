//! The daemon is killed at any moment while several clients change what is stored: what was
//! acknowledged is there in the next life, what was not is there whole or not at all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tandem_client::Client;
use tandem_proto::v1::ask_event::Event;
use tandem_proto::v1::{
    AskRequest, CheckStorageRequest, CompactStorageRequest, CreateConversationRequest,
    DeleteConversationRequest, GetConversationRequest, ImportConversationsRequest,
    RenameConversationRequest, SearchConversationsRequest,
};
use tandem_tests::script::{Life, Script};
use tandem_tests::{Daemon, Setup, question, soon};
use tonic::Code;

const WORDS: &str = "noted";
const CLIENTS: usize = 4;
const KILLS: usize = 15;
/// Set it for more.
const KILLS_VARIABLE: &str = "TANDEM_TEST_KILLS";

/// Random numbers that are the same in every run (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// What a conversation is; `None` when it is deleted.
type State = Option<Kept>;

#[derive(Debug, Clone, PartialEq)]
struct Kept {
    title: String,
    prompts: Vec<String>,
}

/// One client and what it knows to be stored.
struct Writer {
    number: usize,
    random: Random,
    steps: u64,
    acknowledged: u64,
    /// What each conversation may be: one state, or two when the last change was not acknowledged.
    known: BTreeMap<String, Vec<State>>,
}

impl Writer {
    /// Changes something until the daemon is gone.
    async fn run(&mut self, client: Client) {
        while self.step(&client).await.is_some() {
            self.acknowledged += 1;
        }
    }

    async fn step(&mut self, client: &Client) -> Option<()> {
        self.steps += 1;
        let name = format!("client{} step{}", self.number, self.steps);
        let live = self.known.iter().filter_map(|(id, states)| Some((id, states[0].as_ref()?)));
        let live: Vec<_> = live.map(|(id, kept)| (id.clone(), kept.clone())).collect();
        let some = usize::try_from(self.random.below(1 << 30)).unwrap() % live.len().max(1);
        let mut conversations = client.conversations();
        match (self.random.below(20), live.get(some).cloned()) {
            (0..3, _) | (_, None) => {
                let request =
                    CreateConversationRequest { title: name.clone(), ..Default::default() };
                let id = conversations.create(request).await.ok()?.into_inner().id;
                self.known.insert(id, vec![Some(Kept { title: name, prompts: Vec::new() })]);
            }
            (3..13, Some((id, mut kept))) => {
                let length = usize::try_from(self.random.below(3000)).unwrap();
                let prompt =
                    format!("{name} word{}x{} {}", self.number, self.steps, "x".repeat(length));
                kept.prompts.push(prompt.clone());
                self.attempt(&id, Some(kept));
                let request = AskRequest { conversation_id: id.clone(), ..question(&prompt) };
                let mut events = client.assistant().ask(request).await.ok()?.into_inner();
                loop {
                    if let Some(Event::Done(done)) = events.message().await.ok()??.event {
                        assert!(done.stored);
                        break;
                    }
                }
                self.acknowledge(&id);
            }
            (13..15, Some((id, kept))) => {
                self.attempt(&id, Some(Kept { title: name.clone(), ..kept }));
                let request = RenameConversationRequest { id: id.clone(), title: name };
                conversations.rename(request).await.ok()?;
                self.acknowledge(&id);
            }
            (15..17, Some((id, _))) => {
                self.attempt(&id, None);
                let request = DeleteConversationRequest { id: id.clone() };
                conversations.delete(request).await.ok()?;
                self.acknowledge(&id);
            }
            // In the place of one that is there, or anew.
            (kind, Some((id, _))) => {
                let number = (self.number as u64) << 32 | self.steps;
                let fresh = format!("00000000-0000-4000-8000-{number:012x}");
                let id = if kind < 19 { fresh } else { id };
                let turns = self.random.below(5);
                let prompts: Vec<_> =
                    (0..turns).map(|turn| format!("{name} turn {turn}")).collect();
                let data = lines(&id, &name, &prompts);
                if !self.known.contains_key(&id) {
                    self.known.insert(id.clone(), vec![None]);
                }
                self.attempt(&id, Some(Kept { title: name, prompts }));
                let request = ImportConversationsRequest { data, replace: true };
                let parts = futures::stream::iter([request]);
                let imported = conversations.import(parts).await.ok()?.into_inner();
                assert_eq!((imported.conversations, imported.refused_count), (1, 0));
                self.acknowledge(&id);
            }
        }
        Some(())
    }

    fn attempt(&mut self, id: &str, state: State) {
        self.known.get_mut(id).unwrap().push(state);
    }

    fn acknowledge(&mut self, id: &str) {
        let states = self.known.get_mut(id).unwrap();
        states.drain(..states.len() - 1);
    }

    /// Compares everything with what is there.
    async fn verify(&mut self, client: &Client) {
        let mut conversations = client.conversations();
        for (id, states) in &mut self.known {
            let request = GetConversationRequest { id: id.clone() };
            let there = match soon("a conversation", conversations.get(request)).await {
                Ok(response) => {
                    let response = response.into_inner();
                    let title = response.conversation.unwrap().title;
                    let prompts = response.turns.into_iter().map(|turn| turn.prompt).collect();
                    Some(Kept { title, prompts })
                }
                Err(status) if status.code() == Code::NotFound => None,
                Err(status) => panic!("{id}: {status}"),
            };
            assert!(states.contains(&there), "{id} is {there:?}, and may be {states:?}");
            *states = vec![there];
        }
        // Deleted ones were looked at in this life, which is enough.
        self.known.retain(|_, states| states[0].is_some());
    }

    /// Finds the last turn by the word that no other has.
    async fn search(&self, client: &Client) {
        let kept = self.known.values().filter_map(|states| states[0].as_ref());
        let prompts = kept.flat_map(|kept| &kept.prompts);
        let Some(word) = prompts.filter_map(|prompt| prompt.split(' ').nth(2)).next_back() else {
            return;
        };
        let request = SearchConversationsRequest { query: word.to_owned(), limit: 100 };
        let found = soon("a search", client.conversations().search(request)).await.unwrap();
        assert!(!found.into_inner().found.is_empty(), "{word} is not found");
    }
}

fn lines(id: &str, title: &str, prompts: &[String]) -> Vec<u8> {
    let time = "2026-11-21T07:14:26Z";
    let conversation = serde_json::json!({"conversation": {
        "id": id, "title": title, "created": time, "updated": time, "policy": "POLICY_UNSPECIFIED",
    }});
    let turns = prompts.iter().enumerate().map(|(number, prompt)| {
        serde_json::json!({"turn": {
            "id": format!("{title} {number}"), "prompt": prompt, "answer": "", "model": "",
            "track": "TRACK_FAST", "created": time, "usage": null,
            "finish_reason": "FINISH_REASON_STOP", "private": false,
        }})
    });
    let lines = std::iter::once(conversation).chain(turns).map(|line| format!("{line}\n"));
    lines.collect::<String>().into_bytes()
}

async fn checked(daemon: &Daemon) -> u64 {
    let check = daemon.client().storage().check(CheckStorageRequest::default()).await;
    let check = check.unwrap().into_inner();
    assert_eq!(check.findings, []);
    check.records
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills_at_any_moment() {
    let kills = std::env::var(KILLS_VARIABLE);
    let kills = kills.map_or(KILLS, |kills| kills.parse().expect("a number of kills"));
    let mut daemon = Setup::scripted(&Script::always(Life::answering(WORDS))).start().await;
    let mut random = Random(20_261_121);
    let mut writers: Vec<_> = (0..CLIENTS)
        .map(|number| Writer {
            number,
            random: Random(number as u64),
            steps: 0,
            acknowledged: 0,
            known: BTreeMap::new(),
        })
        .collect();
    let (mut records, mut longest) = (0, Duration::ZERO);
    for kill in 0..kills {
        let client = daemon.client().clone();
        let work = futures::future::join_all(writers.iter_mut().map(|it| it.run(client.clone())));
        let compactor = tokio::spawn(async move {
            // Now and then all of it is written anew under way.
            while kill % 3 == 2 && client.storage().compact(CompactStorageRequest {}).await.is_ok()
            {
            }
        });
        let moment = Duration::from_millis(random.below(400));
        let ((), _) = tokio::join!(
            async {
                tokio::time::sleep(moment).await;
                daemon.kill().await;
            },
            work,
        );
        compactor.await.unwrap();
        daemon.home().until_deserted().await;
        let begin = Instant::now();
        daemon.restart().await;
        longest = longest.max(begin.elapsed());
        let client = daemon.client().clone();
        for writer in &mut writers {
            writer.verify(&client).await;
        }
        records = checked(&daemon).await;
        writers[kill % CLIENTS].search(&client).await;
    }
    let acknowledged: u64 = writers.iter().map(|writer| writer.acknowledged).sum();
    let kept: usize = writers.iter().map(|writer| writer.known.len()).sum();
    #[allow(clippy::print_stderr, reason = "numbers for whoever runs it long")]
    {
        eprintln!(
            "{kills} kills, {acknowledged} acknowledged changes, none lost; {kept} conversations, \
             {records} records at the end; longest start {longest:?}"
        );
    }
    assert!(acknowledged > kills as u64, "hardly anything was changed: {acknowledged}");
}
