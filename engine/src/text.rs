//! The text thread: everything between text and tokens, away from the scheduler.
//!
//! It has a stack of its own size because some of llama.cpp's tokenizers recurse once for every
//! character of a long run of like characters.

mod system;

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::{
    Count, CountTokens, Detokenize, FRAME_BYTES_MAX, Generate, Text, Tokenize, Tokens,
};
use tandem_proto::v1::{ChatMessage, Sampling};

use self::system::SystemParts;
use crate::chat::{Chat, Guard, SEAM};
use crate::connection::Writer;
use crate::constraint::{Compiler, Constraint, Wanted};
use crate::intake::{Handover, Job, Work};
use crate::llama::Model;
use crate::reasoning::{Reasoning, Splitter};
use crate::request::{Refusal, Request};
use crate::sampling::Settings;
use crate::transcript::{Draft, Transcripts};
use crate::vocabulary::Vocabulary;

/// Stack of the text thread in bytes. Only what is used takes memory.
pub const STACK_BYTES: usize = 256 << 20;

/// Longest text in one request, in bytes. A recursion takes some 320 bytes of stack a character.
pub const TEXT_BYTES_MAX: usize = STACK_BYTES / 512;

/// Most messages in one request.
const MESSAGES_MAX: usize = 4096;

/// Most tokens to turn into text in one request.
const TOKENS_MAX: usize = 1 << 20;

/// Said to those who want embeddings of a model that generates.
const GENERATES: &str = "this model generates text; embeddings take an embedding model";
/// Said to those who want text of a model that embeds.
const EMBEDS: &str =
    "this model makes embeddings and generates no text; questions take a model that does";

/// The text thread's state.
#[derive(Debug)]
pub struct TextWorker {
    model: Arc<Model>,
    chat: Chat,
    system_parts: RefCell<SystemParts>,
    reasoning: Reasoning,
    transcripts: Arc<Transcripts>,
    /// Tokens that one sequence can have.
    context: u32,
    /// Made for the first request that needs it.
    compiler: OnceCell<Compiler>,
    handover: Arc<Handover>,
    writer: Arc<Writer>,
}

impl TextWorker {
    /// Works for `model`, whose sequences can have `context` tokens each and whose messages
    /// `template` renders.
    pub fn new(
        model: Arc<Model>,
        template: Option<&str>,
        context: u32,
        handover: Arc<Handover>,
        writer: Arc<Writer>,
    ) -> Self {
        let text = template.unwrap_or_default();
        let guard = Guard::new(model.control_texts(text));
        let reasoning = Reasoning::new(text, |mark| match *model.tokenize(mark, true)? {
            [token] => Some(token),
            _ => None,
        });
        let chat = Chat::new(template, guard, model.begin_text(), model.end_text());
        Self {
            model,
            chat,
            system_parts: RefCell::default(),
            reasoning,
            transcripts: Arc::default(),
            context,
            compiler: OnceCell::new(),
            handover,
            writer,
        }
    }

    /// Works until the reader is gone.
    pub fn run(&self, jobs: &Receiver<Job>) {
        for job in jobs {
            self.take(job);
        }
    }

    /// Does one job.
    pub fn take(&self, Job { work, received, ticket }: Job) {
        let (id, answer) = match work {
            Work::Generate(generate) => {
                let id = generate.id;
                if self.handover.is_wanted(id) {
                    match self.prepare(*generate, received) {
                        Ok(request) => self.handover.start(request, ticket),
                        Err(refusal) => self.refuse(id, refusal),
                    }
                }
                return;
            }
            Work::Embed(request) => return self.refuse(request.id, Refusal::ModelKind(GENERATES)),
            Work::Tokenize(request) => (request.id, self.tokenize(&request)),
            Work::Detokenize(request) => (request.id, self.detokenize(&request)),
            Work::CountTokens(request) => (request.id, self.count(&request)),
        };
        self.writer.send(answer.unwrap_or_else(|refusal| refusal.into_message(id)));
    }

    /// Answers a request that can be cancelled, unless it was.
    pub fn refuse(&self, id: u64, refusal: Refusal) {
        if self.handover.refuse(id) {
            self.writer.send(refusal.into_message(id));
        }
    }

    fn prepare(&self, generate: Generate, received: Instant) -> Result<Request, Refusal> {
        if self.model.embeds() {
            return Err(Refusal::ModelKind(EMBEDS));
        }
        let priority = generate.priority();
        let sampling = generate.sampling.unwrap_or_default();
        let mut settings = Settings::new(&sampling, self.model.size())?;
        let (mut splitter, mut draft) = (Splitter::default(), None);
        let prompt = match (generate.prompt.is_empty(), generate.messages.is_empty()) {
            (true, true) => return Err(invalid("prompt, messages: both are empty; send one")),
            (false, false) => return Err(invalid("prompt, messages: both are set; send one")),
            (false, true) => self.with_begin(self.tokens(&generate.prompt, true)?),
            (true, false) => {
                settings.stop.extend(self.chat.stop().map(str::to_owned));
                let (text, tokens) = self.chat_tokens(&generate.messages)?;
                splitter = self.reasoning.splitter(&text);
                draft = Some(Draft::new(Arc::clone(&self.transcripts), text));
                tokens
            }
        };
        if prompt.is_empty() {
            return Err(invalid("prompt: has no tokens; send some text"));
        }
        let size = self.model.size();
        if let Some(unknown) = generate.resume_tokens.iter().find(|&&token| token >= size) {
            return Err(invalid(format!(
                "resume_tokens: token {unknown} is not in the vocabulary of {size} tokens"
            )));
        }
        let room = u32::try_from(prompt.len()).ok().and_then(|used| self.context.checked_sub(used));
        let Some(room) = room.filter(|&room| room > 0) else {
            return Err(Refusal::TooLong { prompt: prompt.len(), context: self.context });
        };
        settings.max_tokens = settings.max_tokens.min(room);
        let mut resume = generate.resume_tokens;
        resume.truncate(settings.max_tokens as usize);
        let system_tokens = self.system_tokens(&generate.messages, &prompt);
        let id = generate.id;
        let constraint = self.constraint(&sampling)?;
        Ok(Request {
            id,
            prompt,
            system_tokens,
            resume,
            settings,
            splitter,
            draft,
            constraint,
            priority,
            received,
        })
    }

    fn system_tokens(&self, messages: &[ChatMessage], prompt: &[u32]) -> usize {
        let mut parts = self.system_parts.borrow_mut();
        parts.tokens(messages, prompt, |messages| {
            self.chat_tokens(messages).map(|(_, tokens)| tokens)
        })
    }

    fn constraint(&self, sampling: &Sampling) -> Result<Option<Constraint>, Refusal> {
        let Some(wanted) = Wanted::new(sampling)? else { return Ok(None) };
        let compiler = if let Some(compiler) = self.compiler.get() {
            compiler
        } else {
            let compiler = Compiler::new(&*self.model)?;
            self.compiler.get_or_init(|| compiler)
        };
        Ok(Some(wanted.compile(compiler)?))
    }

    fn tokenize(&self, request: &Tokenize) -> Result<Message, Refusal> {
        let mut tokens = self.tokens(&request.text, request.parse_special)?;
        if request.add_special {
            tokens = self.with_begin(tokens);
        }
        Ok(Message::Tokens(Tokens { id: request.id, tokens }))
    }

    fn detokenize(&self, request: &Detokenize) -> Result<Message, Refusal> {
        if request.tokens.len() > TOKENS_MAX {
            return Err(invalid(format!("tokens: more than {TOKENS_MAX}")));
        }
        let size = self.model.size();
        if let Some(unknown) = request.tokens.iter().find(|&&token| token >= size) {
            return Err(invalid(format!(
                "tokens: token {unknown} is not in the vocabulary of {size} tokens"
            )));
        }
        let bytes = self.model.detokenize(&request.tokens);
        // Each byte can become a replacement character of three.
        let bytes = bytes.filter(|bytes| bytes.len() < FRAME_BYTES_MAX / 3 - 64);
        let bytes = bytes.ok_or_else(|| invalid("tokens: their text is too long; send fewer"))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Message::Text(Text { id: request.id, text }))
    }

    fn count(&self, request: &CountTokens) -> Result<Message, Refusal> {
        if request.texts.len() > MESSAGES_MAX {
            return Err(invalid(format!("texts: more than {MESSAGES_MAX}")));
        }
        let texts = request
            .texts
            .iter()
            .map(|text| self.tokens(text, false).map(|tokens| length(&tokens)))
            .collect::<Result<_, _>>()?;
        let messages = if request.messages.is_empty() {
            0
        } else {
            length(&self.chat_tokens(&request.messages)?.1)
        };
        Ok(Message::Count(Count { id: request.id, texts, messages }))
    }

    /// The rendered prompt with seams, and its tokens: those that a conversation had before, and
    /// what is new.
    fn chat_tokens(&self, messages: &[ChatMessage]) -> Result<(String, Vec<u32>), Refusal> {
        let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        if messages.len() > MESSAGES_MAX || bytes > TEXT_BYTES_MAX {
            return Err(invalid(format!(
                "messages: {} with {bytes} bytes; at most {MESSAGES_MAX} with {TEXT_BYTES_MAX}",
                messages.len()
            )));
        }
        let text = self.chat.render(messages)?.join(SEAM);
        let is_seam = |before: &str, behind: &str| self.chat.is_seam(before, behind);
        let known = self.transcripts.beginning_of(&text, is_seam);
        let (mut tokens, new) = known.unwrap_or_default();
        for piece in text[new..].split(SEAM) {
            tokens.extend(self.model.tokenize(piece, true).ok_or_else(too_long_text)?);
        }
        Ok((text, self.with_begin(tokens)))
    }

    /// Tokens of a text of allowed length.
    fn tokens(&self, text: &str, parse_special: bool) -> Result<Vec<u32>, Refusal> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(too_long_text());
        }
        self.model.tokenize(text, parse_special).ok_or_else(too_long_text)
    }

    /// Puts the begin token in front if the model wants one and the text has not brought it.
    fn with_begin(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        if let Some(begin) = self.model.begin_token()
            && tokens.first() != Some(&begin)
        {
            tokens.insert(0, begin);
        }
        tokens
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::Invalid(message.into())
}

fn too_long_text() -> Refusal {
    invalid(format!("text: longer than {TEXT_BYTES_MAX} bytes; send less at once"))
}

fn length(tokens: &[u32]) -> u32 {
    u32::try_from(tokens.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
