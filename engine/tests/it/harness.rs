//! Starts the built engine on a socketpair and talks to it as tandemd would.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use prost::Message as _;
use tandem_proto::engine::from_engine::Message as FromMessage;
use tandem_proto::engine::to_engine::Message as ToMessage;
use tandem_proto::engine::{
    Cancel, FromEngine, Generate, Heartbeat, Load, Loaded, Rejected, Rejection, SequenceStep,
    ToEngine,
};
use tandem_proto::v1::{Certainty, ChatMessage, FinishReason, Role, Sampling, TokenLogprob, Usage};

/// Far more than anything here takes, on any machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// A running engine.
pub struct Engine {
    child: Child,
    stream: UnixStream,
    next_id: u64,
}

/// A whole answer.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Answer {
    pub text: String,
    pub tokens: Vec<u32>,
    pub logprobs: Vec<TokenLogprob>,
    pub logprob_sum: f64,
    pub last: SequenceStep,
}

impl Answer {
    pub fn reason(&self) -> FinishReason {
        self.last.finish.as_ref().unwrap().reason()
    }

    pub fn usage(&self) -> Usage {
        self.last.finish.as_ref().unwrap().usage.unwrap()
    }

    pub fn certainty(&self) -> Option<Certainty> {
        self.last.finish.as_ref().unwrap().certainty
    }

    pub fn add(&mut self, step: SequenceStep) -> bool {
        self.text.push_str(&step.text);
        self.tokens.extend(&step.tokens);
        self.logprobs.extend(step.logprobs.iter().cloned());
        self.logprob_sum += step.logprob_sum;
        let ended = step.finish.is_some();
        self.last = step;
        ended
    }
}

/// The model that all tests use.
pub fn model_path() -> String {
    std::env::var("TANDEM_TEST_MODEL").expect(
        "TANDEM_TEST_MODEL is not set: it names the GGUF file to test with; `make test` sets it",
    )
}

/// The models whose answers must be exact: the one that all tests use and, if
/// `TANDEM_TEST_SECOND_MODEL` names one, another, whose weights are of a kind with other kernels or
/// whose attention has a window.
pub fn model_paths() -> Vec<String> {
    std::iter::once(model_path()).chain(std::env::var("TANDEM_TEST_SECOND_MODEL")).collect()
}

pub fn load_request() -> Load {
    Load {
        path: model_path(),
        context_tokens: 4096,
        sequences_max: 8,
        batch_tokens: 512,
        threads: 0,
        use_extra_bufts: false,
        flash_attention: true,
        self_test: true,
        ..Load::default()
    }
}

pub fn greedy(max_tokens: u32) -> Sampling {
    Sampling {
        temperature: Some(0.0),
        seed: Some(1),
        max_tokens: Some(max_tokens),
        ..Sampling::default()
    }
}

pub fn seeded(seed: u64, max_tokens: u32) -> Sampling {
    Sampling {
        temperature: Some(1.0),
        seed: Some(seed),
        max_tokens: Some(max_tokens),
        ..Sampling::default()
    }
}

pub fn user(content: &str) -> Vec<ChatMessage> {
    vec![ChatMessage { role: Role::User.into(), content: content.to_owned(), ..Default::default() }]
}

pub fn chat(content: &str, sampling: Sampling) -> Generate {
    Generate { messages: user(content), sampling: Some(sampling), ..Generate::default() }
}

pub fn raw(prompt: &str, sampling: Sampling) -> Generate {
    Generate { prompt: prompt.to_owned(), sampling: Some(sampling), ..Generate::default() }
}

impl Engine {
    /// Starts an engine that has not loaded anything.
    pub fn start() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tandem-engine"))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // Spinning threads of engines that run side by side would starve each other.
            .env("GGML_NO_BACKTRACE", "1")
            .spawn()
            .unwrap();
        Self { child, stream: ours, next_id: 1 }
    }

    /// Starts an engine and loads the test model.
    pub fn loaded() -> Self {
        let mut engine = Self::start();
        engine.load(load_request()).unwrap();
        engine
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn load(&mut self, request: Load) -> Result<Loaded, String> {
        assert!(matches!(self.receive(), Some(FromMessage::Hello(_))));
        self.send(ToMessage::Load(request));
        loop {
            match self.receive() {
                Some(FromMessage::Loaded(loaded)) => return Ok(loaded),
                Some(FromMessage::LoadFailed(failed)) => return Err(format!("{failed:?}")),
                Some(FromMessage::LoadProgress(_) | FromMessage::Heartbeat(_)) => {}
                None => return Err("the engine died".to_owned()),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    pub fn send(&mut self, message: ToMessage) {
        let body = ToEngine { message: Some(message) }.encode_to_vec();
        self.send_bytes(&u32::try_from(body.len()).unwrap().to_le_bytes());
        self.send_bytes(&body);
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame; `None` when the engine has ended.
    pub fn receive(&mut self) -> Option<FromMessage> {
        let mut header = [0; 4];
        match self.stream.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("nothing came from the engine for {DEADLINE:?}")
            }
            Err(_) => return None,
        }
        let mut body = vec![0; u32::from_le_bytes(header) as usize];
        self.stream.read_exact(&mut body).unwrap();
        Some(FromEngine::decode(body.as_slice()).unwrap().message.unwrap())
    }

    /// Sends a request under a new id.
    pub fn generate(&mut self, mut request: Generate) -> u64 {
        request.id = self.next_id;
        self.next_id += 1;
        let id = request.id;
        self.send(ToMessage::Generate(request));
        id
    }

    pub fn cancel(&mut self, id: u64) {
        self.send(ToMessage::Cancel(Cancel { id }));
    }

    /// Waits for the answers to requests that run together, in the order of `ids`.
    pub fn answers(&mut self, ids: &[u64]) -> Vec<Answer> {
        let mut answers = vec![Answer::default(); ids.len()];
        let mut open = ids.len();
        while open > 0 {
            match self.receive() {
                Some(FromMessage::Step(step)) => {
                    for sequence in step.sequences {
                        let at = ids.iter().position(|id| *id == sequence.id).unwrap();
                        open -= usize::from(answers[at].add(sequence));
                    }
                }
                Some(FromMessage::Started(_) | FromMessage::Heartbeat(_)) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        answers
    }

    /// Runs one request to its end.
    pub fn ask(&mut self, request: Generate) -> Answer {
        let id = self.generate(request);
        self.answers(&[id]).remove(0)
    }

    /// Runs one request that must be rejected.
    pub fn rejected(&mut self, request: Generate) -> (Rejection, String) {
        let id = self.generate(request);
        match self.reply() {
            FromMessage::Rejected(Rejected { id: rejected, rejection, message }) => {
                assert_eq!(rejected, id);
                (Rejection::try_from(rejection).unwrap(), message)
            }
            other => panic!("not rejected: {other:?}"),
        }
    }

    /// Whether the next frame that is no heartbeat ends request `id`, rejections included.
    pub fn ended(&mut self, id: u64) -> bool {
        match self.reply() {
            FromMessage::Rejected(rejected) => rejected.id == id,
            FromMessage::Step(step) => {
                step.sequences.iter().any(|sequence| sequence.id == id && sequence.finish.is_some())
            }
            _ => false,
        }
    }

    /// The next frame that is no heartbeat.
    pub fn reply(&mut self) -> FromMessage {
        loop {
            match self.receive() {
                Some(FromMessage::Heartbeat(_)) => {}
                Some(message) => return message,
                None => panic!("the engine died"),
            }
        }
    }

    /// Waits for a step of `id` with a token.
    pub fn first_step(&mut self, id: u64) -> SequenceStep {
        loop {
            if let FromMessage::Step(step) = self.reply()
                && let Some(sequence) = step.sequences.into_iter().find(|s| s.id == id)
                && !sequence.tokens.is_empty()
            {
                return sequence;
            }
        }
    }

    /// Waits for the heartbeat of an engine that has nothing to do.
    pub fn idle(&mut self) -> Heartbeat {
        loop {
            if let Some(FromMessage::Heartbeat(heartbeat)) = self.receive()
                && heartbeat.sequences_active == 0
                && heartbeat.sequences_waiting == 0
            {
                return heartbeat;
            }
        }
    }

    /// Closes our end of the socket.
    pub fn hang_up(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// Closes our end for writing, so that what the engine still sends can be read.
    pub fn stop_sending(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Waits for the engine's end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        // The socket closes when the process ends; only then is there a status to collect.
        while self.receive().is_some() {
            assert!(Instant::now() < deadline, "the engine does not end");
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
