//! What comes with a question beside its words: pictures, tools, and what came of tool calls.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;
use tandem_client::v1;
use tokio::{fs::File, io::AsyncReadExt as _};

use crate::failure::Failure;

/// Most bytes of a picture and of a file of tools; more is refused by the daemon as well.
const IMAGE_BYTES_MAX: u64 = 5 << 20;
const TOOLS_BYTES_MAX: u64 = 1 << 20;

/// Pictures and tools.
#[derive(Debug, Args)]
#[command(next_help_heading = "Pictures and tools, for providers that know them")]
pub(crate) struct Luggage {
    /// Let the model look at this PNG, JPEG, WebP or GIF; can be given several times
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,

    /// Offer the tools in this file
    ///
    /// A JSON array of {"name", "description", "parameters"}, the last being a JSON schema of the
    /// arguments. The forms of OpenAI ("function") and Anthropic ("input_schema") are read as well.
    /// A call is printed and not carried out; with --conversation the model waits for its result.
    #[allow(clippy::doc_markdown, reason = "people read it as help")]
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,

    /// auto, none, required, or the name of the tool to call [default: auto]
    #[arg(long, value_name = "CHOICE", requires = "tools")]
    tool_choice: Option<String>,

    /// What came of a tool call of the turn before; once for each call
    #[arg(long, value_name = "ID=RESULT", requires = "tools", requires = "conversation")]
    tool_result: Vec<String>,
}

/// The same, read and ready to be sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Packed {
    images: Vec<v1::Image>,
    tools: Vec<v1::Tool>,
    tool_choice: v1::ToolChoice,
    tool_name: String,
    tool_results: Vec<v1::ToolResult>,
}

impl Luggage {
    /// There need not be a question beside results.
    pub(crate) fn has_results(&self) -> bool {
        !self.tool_result.is_empty()
    }

    /// Reads the files that are named.
    pub(crate) async fn pack(self) -> Result<Packed, Failure> {
        let mut packed = Packed::default();
        for path in &self.image {
            packed.images.push(v1::Image { data: read(path, IMAGE_BYTES_MAX).await? });
        }
        if let Some(path) = &self.tools {
            packed.tools = tools(&read(path, TOOLS_BYTES_MAX).await?)
                .map_err(|problem| wrong(&format!("{}: {problem}", path.display())))?;
        }
        match self.tool_choice.as_deref() {
            None | Some("auto") => {}
            Some("none") => packed.tool_choice = v1::ToolChoice::None,
            Some("required") => packed.tool_choice = v1::ToolChoice::Required,
            Some(name) => name.clone_into(&mut packed.tool_name),
        }
        for result in &self.tool_result {
            let (id, content) = result
                .split_once('=')
                .ok_or_else(|| wrong(&format!("--tool-result {result:?} has no =")))?;
            let (tool_call_id, content) = (id.to_owned(), content.to_owned());
            packed.tool_results.push(v1::ToolResult { tool_call_id, content });
        }
        Ok(packed)
    }
}

impl Packed {
    /// Puts all of it into a question.
    pub(crate) fn load(self, request: &mut v1::AskRequest) {
        request.images = self.images;
        request.tools = self.tools;
        request.tool_choice = self.tool_choice.into();
        request.tool_name = self.tool_name;
        request.tool_results = self.tool_results;
    }
}

/// Reads tools in any of their common forms.
fn tools(json: &[u8]) -> Result<Vec<v1::Tool>, String> {
    let tools: Vec<Value> =
        serde_json::from_slice(json).map_err(|error| format!("no JSON array of tools: {error}"))?;
    tools.iter().zip(1..).map(|(value, number)| tool(value, number)).collect()
}

fn tool(value: &Value, number: usize) -> Result<v1::Tool, String> {
    let tool = value.get("function").unwrap_or(value);
    let text = |key: &str| tool.get(key).and_then(Value::as_str).map(str::to_owned);
    let name = text("name").ok_or_else(|| format!("tool {number} has no name"))?;
    let schema = tool.get("parameters").or_else(|| tool.get("input_schema"));
    Ok(v1::Tool {
        name,
        description: text("description").unwrap_or_default(),
        parameters: schema.map(ToString::to_string).unwrap_or_default(),
    })
}

fn wrong(message: &str) -> Failure {
    Failure::usage(message, "`tandem ask --help` shows how it is written")
}

async fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: io::Error| {
        let message = format!("cannot read {}: {error}", path.display());
        Failure::usage(message, "name a file that you may read")
    };
    let mut bytes = Vec::new();
    let file = File::open(path).await.map_err(unreadable)?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).await.map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        let message = format!("{} is longer than {bytes_max} bytes", path.display());
        return Err(Failure::usage(message, "make it smaller"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn tools_are_read_in_every_common_form() {
        let schema = r#"{"type":"object"}"#;
        for form in [
            format!(r#"[{{"name":"f","description":"d","parameters":{schema}}}]"#),
            format!(r#"[{{"name":"f","description":"d","input_schema":{schema}}}]"#),
            format!(
                r#"[{{"type":"function","function":{{"name":"f","description":"d","parameters":{schema}}}}}]"#
            ),
        ] {
            let tools = tools(form.as_bytes()).unwrap();
            let tool =
                v1::Tool { name: "f".into(), description: "d".into(), parameters: schema.into() };
            assert_eq!(tools, [tool], "{form}");
        }
    }

    #[test]
    fn what_is_no_tool_is_named() {
        assert_eq!(tools(br#"[{"name":"f"},{}]"#).unwrap_err(), "tool 2 has no name");
        assert!(tools(b"{}").unwrap_err().starts_with("no JSON array of tools"));
    }
}
