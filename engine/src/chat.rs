//! Chat messages to prompt text, through the Jinja template that the model file brings along.

mod clock;
mod guard;
mod tracking;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value, context};
use minijinja_contrib::pycompat;
use tandem_proto::v1::{ChatMessage, Role};

pub use guard::{Guard, SEAM};

/// For models without a template of their own.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' \
    + message['content'] + '<|im_end|>\\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const CHATML_END: &str = "<|im_end|>";

/// Instructions that a template may execute: thousands of messages' worth.
const FUEL: u64 = 10_000_000;

const NAME: &str = "chat";

/// What is wrong with a template as such, with its line; `None` when it compiles.
pub fn problem(template: &str) -> Option<String> {
    let mut environment = environment(clock::now);
    compile(&mut environment, template).err().map(|error| error.to_string())
}

/// Why messages could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// A message without a role, numbered from 0.
    #[error("messages[{0}].role: unset or unknown; use system, user or assistant")]
    Role(usize),
    /// The template refused the messages, in its own words, or is itself broken.
    #[error("the model's chat template refuses these messages: {0}")]
    Template(String),
}

impl From<Error> for ChatError {
    fn from(error: Error) -> Self {
        Self::Template(error.detail().map_or_else(|| error.to_string(), str::to_owned))
    }
}

/// A compiled chat template and what is needed to fill it in safely.
#[derive(Debug)]
pub struct Chat {
    environment: Environment<'static>,
    /// Why the template does not compile. Prompts without messages are served all the same.
    broken: Option<String>,
    /// The model brought no template.
    borrowed: bool,
    guard: Guard,
    begin_text: String,
    end_text: String,
}

impl Chat {
    /// Compiles `template`, `ChatML` if there is none.
    pub fn new(template: Option<&str>, guard: Guard, begin_text: String, end_text: String) -> Self {
        Self::with_clock(template, guard, begin_text, end_text, clock::now)
    }

    fn with_clock(
        template: Option<&str>,
        guard: Guard,
        begin_text: String,
        end_text: String,
        now: fn() -> u64,
    ) -> Self {
        let mut environment = environment(now);
        let borrowed = template.is_none();
        let compiled = compile(&mut environment, template.unwrap_or(CHATML));
        let broken = compiled.err().map(|error| error.to_string());
        Self { environment, broken, borrowed, guard, begin_text, end_text }
    }

    /// What ends an answer besides the model's own end. A model that never learned `ChatML` writes
    /// its end as text, and would go on with both parts of the conversation.
    pub fn stop(&self) -> Option<&'static str> {
        self.borrowed.then_some(CHATML_END)
    }

    /// Whether a text that ends with `before` can be cut there, without a token on both sides:
    /// `behind` begins with a control token, and none lies across the cut.
    pub fn is_seam(&self, before: &str, behind: &str) -> bool {
        self.guard.begins_with_control(behind) && !self.guard.spans(before, behind)
    }

    /// The prompt, in pieces that are to be tokenized one by one with control tokens read as
    /// such: no text of a message makes one.
    pub fn render(&self, messages: &[ChatMessage]) -> Result<Vec<String>, ChatError> {
        if let Some(broken) = &self.broken {
            return Err(ChatError::Template(broken.clone()));
        }
        let messages: Vec<Value> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| {
                let role = match message.role() {
                    Role::System => "system",
                    Role::User => "user",
                    Role::Assistant => "assistant",
                    Role::Tool | Role::Unspecified => return Err(ChatError::Role(index)),
                };
                let content = self.guard.protect(&message.content);
                Ok(context! { role => role, content => content })
            })
            .collect::<Result<_, _>>()?;
        let rendered = self.environment.get_template(NAME)?.render(context! {
            messages => messages,
            // Hugging Face's library says that there are none, which is not the same as nothing.
            tools => (),
            documents => (),
            add_generation_prompt => true,
            bos_token => self.begin_text.as_str(),
            eos_token => self.end_text.as_str(),
        })?;
        Ok(self.guard.split(&rendered))
    }
}

/// Jinja as Hugging Face's library sets it up, for which templates are written.
fn environment(now: fn() -> u64) -> Environment<'static> {
    let mut environment = Environment::new();
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_unknown_method_callback(pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("tojson", to_json);
    // As Python has it: nothing cannot be iterated over, and strings are sequences.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: &Value| {
        let kind = value.kind();
        value.is_undefined() || matches!(kind, ValueKind::Seq | ValueKind::String | ValueKind::Map)
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", move |format: String| clock::at(now(), &format));
    environment
}

fn compile(environment: &mut Environment<'static>, template: &str) -> Result<(), Error> {
    environment.add_template_owned(NAME, tracking::removed(template))
}

/// Jinja's `tojson` without the escapes that make JSON safe inside HTML, as in prompts nobody
/// expects them.
fn to_json(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<String, Error> {
    // Nothing is escaped as ASCII, whether asked for or not, as almost all templates ask not to.
    let _: Option<bool> = options.get("ensure_ascii")?;
    let escaped = minijinja::filters::tojson(value, indent, options)?.to_string();
    let mut json = String::with_capacity(escaped.len());
    let mut rest = escaped.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        json.push_str(before);
        let html = [("\\u003c", '<'), ("\\u003e", '>'), ("\\u0026", '&'), ("\\u0027", '\'')];
        if let Some((code, plain)) = html.iter().find(|(code, _)| escape.starts_with(code)) {
            json.push(*plain);
            rest = &escape[code.len()..];
        } else {
            // A backslash and what it escapes, which is one ASCII character.
            let (pair, after) = escape.split_at_checked(2).unwrap_or((escape, ""));
            json.push_str(pair);
            rest = after;
        }
    }
    json.push_str(rest);
    Ok(json)
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
