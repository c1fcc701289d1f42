//! The engine's work: every answer a word further, every message handled, signs of life.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tandem_proto::engine::from_engine::Message as Outgoing;
use tandem_proto::engine::to_engine::Message as Incoming;
use tandem_proto::engine::{
    Count, FRAME_BYTES_MAX, Finish, Generate, Heartbeat, SequenceStep, Started, Step, Text, Tokens,
};
use tandem_proto::v1::{FinishReason, TokenLogprob, Usage};
use tandem_tests::script::{Fate, Life};

use crate::answers::{Vocabulary, count};
use crate::connection::Connection;

/// Longest silence. Well below any `engine.step_timeout` that tests set.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// How often a waiting answer looks whether it may go on.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The engine behind a successful load.
#[derive(Debug)]
pub(crate) struct Engine {
    connection: Connection,
    life: Life,
    release: PathBuf,
    vocabulary: Vocabulary,
    answers: BTreeMap<u64, Answer>,
    steps: u64,
}

/// An answer in the making.
#[derive(Debug)]
struct Answer {
    /// Words that are out, those of earlier lives included.
    words: usize,
    words_max: usize,
    prompt_tokens: u32,
    /// Log-probabilities are wanted.
    logprobs: bool,
    /// Said once that it waits.
    waits: bool,
}

impl Engine {
    pub(crate) fn new(connection: Connection, life: Life, release: PathBuf) -> Self {
        let vocabulary = Vocabulary::new(&life.words);
        Self { connection, life, release, vocabulary, answers: BTreeMap::new(), steps: 0 }
    }

    /// Serves until the daemon or the script ends it.
    pub(crate) fn serve(mut self, incoming: &Receiver<Incoming>) {
        let mut last_sign = Instant::now();
        loop {
            let moved = self.step();
            if moved || last_sign.elapsed() >= HEARTBEAT {
                self.heartbeat();
                last_sign = Instant::now();
            }
            let pause = if moved { Duration::ZERO } else { LOOK_AGAIN };
            match incoming.recv_timeout(pause) {
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn handle(&mut self, message: Incoming) {
        match message {
            Incoming::Load(_) => panic!("told to load twice"),
            Incoming::Generate(generate) => self.generate(&generate),
            Incoming::Cancel(cancel) => {
                self.connection.log(&format!("cancel {}", cancel.id));
                if let Some(answer) = self.answers.remove(&cancel.id) {
                    self.finish(cancel.id, &answer, FinishReason::Cancelled);
                }
                self.heartbeat();
            }
            Incoming::Adjust(adjust) => self.connection.log(&format!(
                "adjust threads={} batch_tokens={}",
                adjust.threads, adjust.batch_tokens
            )),
            // Never done, so that there is something to cancel.
            Incoming::Embed(embed) => self.connection.log(&format!("embed {}", embed.id)),
            Incoming::Tokenize(tokenize) => {
                let tokens = self.vocabulary.tokens(&tokenize.text);
                self.connection.send(Outgoing::Tokens(Tokens { id: tokenize.id, tokens }));
            }
            Incoming::Detokenize(detokenize) => {
                let text = self.vocabulary.text(&detokenize.tokens);
                self.connection.send(Outgoing::Text(Text { id: detokenize.id, text }));
            }
            Incoming::CountTokens(question) => {
                self.connection.log(&format!("count {}", question.id));
                let texts = question.texts.iter().map(|text| count(text)).collect();
                let messages = question.messages.iter().map(|message| count(&message.content));
                let messages = messages.sum();
                self.connection.send(Outgoing::Count(Count { id: question.id, texts, messages }));
            }
        }
    }

    fn generate(&mut self, generate: &Generate) {
        let prompt = generate.messages.last().map_or(&generate.prompt, |last| &last.content);
        let words = generate.resume_tokens.len();
        let id = generate.id;
        self.connection.log(&format!("generate {id} resume={words} {prompt}"));
        let said: Vec<u32> = (0..).take(words).collect();
        assert_eq!(generate.resume_tokens, said, "these are not the words of the answer");
        let sampling = generate.sampling.as_ref().expect("sampling is always set");
        assert!(sampling.seed.is_some(), "the seed is always set");
        let words_max = sampling.max_tokens.expect("max_tokens is always set") as usize;
        if let Some((_, before)) = generate.messages.split_last().filter(|(_, it)| !it.is_empty()) {
            let told: Vec<&str> = before.iter().map(|message| message.content.as_str()).collect();
            self.connection.log(&format!("told {id} {}", told.join(" ¦ ").replace('\n', " ")));
        }
        let contents = generate.messages.iter().map(|message| &message.content);
        let prompt_tokens = contents.chain([&generate.prompt]).map(|text| count(text)).sum();
        self.connection.log(&format!("read {id} tokens={prompt_tokens}"));
        let logprobs = sampling.logprobs.is_some();
        let answer = Answer { words, words_max, prompt_tokens, logprobs, waits: false };
        self.answers.insert(id, answer);
        self.connection.send(Outgoing::Started(Started { id, prompt_tokens }));
    }

    /// Brings every answer a word further. False when there was nothing to do.
    fn step(&mut self) -> bool {
        let mut moved = false;
        for id in self.answers.keys().copied().collect::<Vec<_>>() {
            moved |= self.advance(id);
        }
        moved
    }

    fn advance(&mut self, id: u64) -> bool {
        let Some(mut answer) = self.answers.remove(&id) else { return false };
        if let Some((words, fate)) = self.life.fate.clone()
            && words == answer.words
            && self.meet(&fate, id, &mut answer)
        {
            self.answers.insert(id, answer);
            return false;
        }
        let Some(word) = self.life.words.get(answer.words) else {
            self.finish(id, &answer, FinishReason::Stop);
            return true;
        };
        if answer.words >= answer.words_max {
            self.finish(id, &answer, FinishReason::Length);
            return true;
        }
        let text = if answer.words == 0 { word.clone() } else { format!(" {word}") };
        let token = u32::try_from(answer.words).unwrap();
        let unsure = self.life.unsure.is_some_and(|(from, to)| (from..to).contains(&answer.words));
        let logprob = if unsure { -9.0 } else { -0.1 };
        let bytes = text.clone().into_bytes();
        let reported = TokenLogprob { token, bytes, logprob, ..TokenLogprob::default() };
        let step = SequenceStep {
            id,
            text,
            tokens: vec![token],
            logprob_sum: logprob.into(),
            logprobs: Some(reported).filter(|_| answer.logprobs).into_iter().collect(),
            ..SequenceStep::default()
        };
        self.connection.send(Outgoing::Step(Step { sequences: vec![step] }));
        self.steps += 1;
        answer.words += 1;
        self.answers.insert(id, answer);
        true
    }

    /// Carries out what the script has in store. True when the answer has to wait.
    fn meet(&mut self, fate: &Fate, id: u64, answer: &mut Answer) -> bool {
        match fate {
            Fate::Die(signal) => die(signal),
            Fate::Hang => stop(),
            Fate::Garble => self.connection.send_bytes(&[3, 0, 0, 0, 0xff, 0xff, 0xff]),
            Fate::Overflow => {
                let length = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
                self.connection.send_bytes(&length.to_le_bytes());
            }
            Fate::Wait => {
                if self.release.exists() {
                    return false;
                }
                if !std::mem::replace(&mut answer.waits, true) {
                    self.connection.log(&format!("wait {id}"));
                }
                return true;
            }
        }
        // What follows must not make the bytes valid.
        stop()
    }

    fn finish(&mut self, id: u64, answer: &Answer, reason: FinishReason) {
        let usage = Usage {
            prompt_tokens: answer.prompt_tokens,
            cached_tokens: 0,
            completion_tokens: u32::try_from(answer.words).unwrap(),
            ..Usage::default()
        };
        let finish = Finish { reason: reason.into(), usage: Some(usage), ..Finish::default() };
        let step = SequenceStep { id, finish: Some(finish), ..SequenceStep::default() };
        self.connection.send(Outgoing::Step(Step { sequences: vec![step] }));
    }

    fn heartbeat(&mut self) {
        self.connection.send(Outgoing::Heartbeat(Heartbeat {
            steps: self.steps,
            sequences_active: u32::try_from(self.answers.len()).unwrap(),
            sequences_waiting: 0,
            ..Heartbeat::default()
        }));
    }
}

/// Ends the process by a signal.
pub(crate) fn die(signal: &str) -> ! {
    let command = format!("kill -s {signal} {}", std::process::id());
    // Nothing of this process may live on in the shell's.
    let null = Stdio::null;
    Command::new("sh").args(["-c", &command]).stdin(null()).stderr(null()).status().unwrap();
    stop()
}

/// Does nothing more. The process ends with the daemon's end of the socket.
pub(crate) fn stop() -> ! {
    loop {
        thread::park();
    }
}
