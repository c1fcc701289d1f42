//! What a model may ask its caller to do, and what came of it.

use std::collections::HashSet;

use serde_json::{Map, Value};
use tandem_proto::v1::{AskRequest, Tool, ToolChoice, ToolResult};

use crate::{Error, Result};

/// Most tools, and most results, of one question.
const COUNT_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 64;
const DESCRIPTION_BYTES_MAX: usize = 16 << 10;
const PARAMETERS_BYTES_MAX: usize = 64 << 10;
/// Most bytes of all tools together.
const BYTES_MAX: usize = 512 << 10;
/// Longest id of a call.
pub(crate) const ID_BYTES_MAX: usize = 256;

/// The tools of one generation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tools {
    /// What the model may ask for.
    pub offered: Vec<Tool>,
    /// Whether it does.
    pub choice: Choice,
}

/// Whether a model asks for a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// As it likes.
    #[default]
    Auto,
    /// It does not.
    Never,
    /// It does, for whichever it likes.
    Required,
    /// It asks for this one.
    Named(String),
}

impl Tools {
    /// Those of a question that passed [`validate`].
    pub(crate) fn of(request: &AskRequest) -> Self {
        let choice = match request.tool_choice() {
            ToolChoice::Unspecified if request.tool_name.is_empty() => Choice::Auto,
            ToolChoice::Unspecified => Choice::Named(request.tool_name.clone()),
            ToolChoice::None => Choice::Never,
            ToolChoice::Required => Choice::Required,
        };
        Self { offered: request.tools.clone(), choice }
    }

    /// Bytes of all that a model reads of them.
    pub(crate) fn len(&self) -> usize {
        self.offered.iter().map(length).sum()
    }
}

/// The schema of a tool's arguments.
pub(crate) fn parameters(tool: &Tool) -> Result<Value> {
    if tool.parameters.is_empty() {
        return Ok(serde_json::json!({"type": "object", "properties": {}}));
    }
    let schema: Map<String, Value> = serde_json::from_str(&tool.parameters).map_err(|error| {
        let problem = format!("of {:?} are no JSON object: {error}", tool.name);
        Error::invalid("tools.parameters", problem)
    })?;
    Ok(Value::Object(schema))
}

/// Refuses tools and results outside the ranges that the protos state.
pub(crate) fn validate(request: &AskRequest, results_bytes_max: usize) -> Result<()> {
    validate_tools(&request.tools)?;
    validate_choice(request)?;
    validate_results(request, results_bytes_max)
}

fn validate_tools(tools: &[Tool]) -> Result<()> {
    let refuse = |field: &str, problem: String| Err(Error::invalid(field, problem));
    if tools.len() > COUNT_MAX {
        return refuse("tools", format!("are {}; at most {COUNT_MAX} are allowed", tools.len()));
    }
    let mut names = HashSet::new();
    for tool in tools {
        let Tool { name, description, parameters: schema } = tool;
        if !is_name(name) {
            let problem = "has one that is not 1 to 64 letters, digits, underscores and dashes";
            return refuse("tools.name", problem.to_owned());
        }
        if !names.insert(name) {
            return refuse("tools.name", format!("{name:?} is there twice; rename one"));
        }
        if description.len() > DESCRIPTION_BYTES_MAX {
            let problem = format!("of {name:?} is longer than {DESCRIPTION_BYTES_MAX} bytes");
            return refuse("tools.description", problem);
        }
        if schema.len() > PARAMETERS_BYTES_MAX {
            let problem = format!("of {name:?} are longer than {PARAMETERS_BYTES_MAX} bytes");
            return refuse("tools.parameters", problem);
        }
        parameters(tool)?;
    }
    if tools.iter().map(length).sum::<usize>() > BYTES_MAX {
        let problem = format!("are together longer than {BYTES_MAX} bytes; offer fewer");
        return refuse("tools", problem);
    }
    Ok(())
}

fn validate_choice(request: &AskRequest) -> Result<()> {
    let AskRequest { tools, tool_name, .. } = request;
    let Ok(choice) = ToolChoice::try_from(request.tool_choice) else {
        let problem = format!("{} is not known to this daemon", request.tool_choice);
        return Err(Error::invalid("tool_choice", problem));
    };
    if choice != ToolChoice::Unspecified && tools.is_empty() {
        return Err(Error::invalid("tool_choice", "is set without tools; give tools"));
    }
    if tool_name.is_empty() {
        return Ok(());
    }
    if choice != ToolChoice::Unspecified {
        return Err(Error::invalid("tool_name", "is set beside tool_choice; set one of them"));
    }
    if !tools.iter().any(|tool| tool.name == *tool_name) {
        return Err(Error::invalid("tool_name", "is none of the tools; name one of them"));
    }
    Ok(())
}

fn validate_results(request: &AskRequest, bytes_max: usize) -> Result<()> {
    let AskRequest { tool_results: results, .. } = request;
    let refuse = |problem: String| Err(Error::invalid("tool_results", problem));
    if results.is_empty() {
        return Ok(());
    }
    if results.len() > COUNT_MAX {
        return refuse(format!("are {}; at most {COUNT_MAX} are allowed", results.len()));
    }
    if request.conversation_id.is_empty() {
        return refuse("belong to the calls of a conversation; set conversation_id".to_owned());
    }
    if request.tools.is_empty() {
        return refuse("need the tools again that were offered; set tools".to_owned());
    }
    let mut ids = HashSet::new();
    for ToolResult { tool_call_id: id, .. } in results {
        if !(1..=ID_BYTES_MAX).contains(&id.len()) {
            return refuse(format!("have an id that is not 1 to {ID_BYTES_MAX} bytes long"));
        }
        if !ids.insert(id) {
            return refuse(format!("have two for the call {id:?}; give one"));
        }
    }
    let bytes: usize = results.iter().map(|result| result.content.len()).sum();
    crate::router::check_length("tool_results", bytes, bytes_max)
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

fn length(tool: &Tool) -> usize {
    tool.name.len() + tool.description.len() + tool.parameters.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn tool(name: &str) -> Tool {
        Tool { name: name.to_owned(), ..Tool::default() }
    }

    fn result(id: &str) -> ToolResult {
        ToolResult { tool_call_id: id.to_owned(), content: "42".to_owned() }
    }

    fn with_tools(tools: Vec<Tool>) -> AskRequest {
        AskRequest { conversation_id: "c".to_owned(), tools, ..AskRequest::default() }
    }

    #[test]
    fn the_choice_is_one_of_four() {
        let plain = with_tools(vec![tool("a")]);
        let none = AskRequest { tool_choice: ToolChoice::None.into(), ..plain.clone() };
        let required = AskRequest { tool_choice: ToolChoice::Required.into(), ..plain.clone() };
        let named = AskRequest { tool_name: "a".to_owned(), ..plain.clone() };
        for (request, choice) in [
            (plain, Choice::Auto),
            (none, Choice::Never),
            (required, Choice::Required),
            (named, Choice::Named("a".to_owned())),
        ] {
            validate(&request, 100).unwrap();
            assert_eq!(Tools::of(&request).choice, choice);
        }
    }

    #[test]
    fn a_tool_without_parameters_takes_an_empty_object() {
        let expected = serde_json::json!({"type": "object", "properties": {}});
        assert_eq!(parameters(&tool("a")).unwrap(), expected);
    }

    #[test]
    fn whatever_the_protos_do_not_allow_is_refused_by_name() {
        let schema = |text: &str| Tool { parameters: text.to_owned(), ..tool("a") };
        let long = |bytes: usize| Tool { description: "x".repeat(bytes), ..tool("a") };
        let many =
            (0..40).map(|n| Tool { description: "x".repeat(16 << 10), ..tool(&n.to_string()) });
        let plain = with_tools(vec![tool("a")]);
        let results =
            |results: Vec<ToolResult>| AskRequest { tool_results: results, ..plain.clone() };
        for (request, field) in [
            (with_tools(vec![tool("")]), "tools.name"),
            (with_tools(vec![tool("a b")]), "tools.name"),
            (with_tools(vec![tool(&"a".repeat(65))]), "tools.name"),
            (with_tools(vec![tool("a"), tool("a")]), "tools.name"),
            (with_tools((0..129).map(|n| tool(&n.to_string())).collect()), "tools"),
            (with_tools(vec![long((16 << 10) + 1)]), "tools.description"),
            (with_tools(vec![schema("[]")]), "tools.parameters"),
            (with_tools(vec![schema("{")]), "tools.parameters"),
            (with_tools(vec![schema(&"[".repeat(1 << 15))]), "tools.parameters"),
            (with_tools(vec![schema(&" ".repeat((64 << 10) + 1))]), "tools.parameters"),
            (with_tools(many.collect()), "tools"),
            (AskRequest { tool_choice: 9, ..plain.clone() }, "tool_choice"),
            (AskRequest { tools: vec![], tool_choice: 2, ..plain.clone() }, "tool_choice"),
            (AskRequest { tool_name: "b".to_owned(), ..plain.clone() }, "tool_name"),
            (AskRequest { tool_name: "a".into(), tool_choice: 1, ..plain.clone() }, "tool_name"),
            (results(vec![result("")]), "tool_results"),
            (results(vec![result("x"), result("x")]), "tool_results"),
            (results((0..51).map(|n| result(&n.to_string())).collect()), "tool_results"),
            (AskRequest { tools: vec![], ..results(vec![result("x")]) }, "tool_results"),
            (
                AskRequest { conversation_id: String::new(), ..results(vec![result("x")]) },
                "tool_results",
            ),
        ] {
            let error = validate(&request, 100).unwrap_err();
            assert!(matches!(&error, Error::Invalid { field: of, .. } if of == field), "{error}");
        }
        validate(&results(vec![result("x"), result("y")]), 100).unwrap();
    }
}
