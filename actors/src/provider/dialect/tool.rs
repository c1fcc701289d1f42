//! Tools as chat completions write them, and Ollama with them.

use serde::Serialize;
use serde_json::Value;
use tandem_proto::v1;

use crate::{Result, tools};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Tool<'a> {
    Function { function: Function<'a> },
}

#[derive(Serialize)]
pub(super) struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: Value,
}

impl<'a> Tool<'a> {
    pub(super) fn of(tool: &'a v1::Tool) -> Result<Self> {
        let v1::Tool { name, description, .. } = tool;
        let parameters = tools::parameters(tool)?;
        Ok(Self::Function { function: Function { name, description, parameters } })
    }
}
