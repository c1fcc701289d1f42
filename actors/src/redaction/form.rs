//! Texts for people and texts in JSON, where a value has to be looked for behind escapes.

use serde::de::IgnoredAny;

/// What a text is, which decides how a value stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people: as it is.
    Text,
    /// JSON, such as the arguments of a tool: escaped. What is no JSON is taken as it is.
    Json,
}

impl Form {
    /// `value` as it stands within a string of this form.
    pub(super) fn escaped(self, value: &str) -> String {
        match self {
            Self::Text => value.to_owned(),
            Self::Json => {
                let quoted = serde_json::Value::from(value).to_string();
                quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
            }
        }
    }

    /// `text` with each part that may hold values changed by `change`. In JSON that is each string
    /// and each number; a number that is changed becomes a string, and all else stays as it is.
    pub(super) fn map(self, text: &str, mut change: impl FnMut(&str) -> String) -> String {
        if self == Self::Text || serde_json::from_str::<IgnoredAny>(text).is_err() {
            return change(text);
        }
        let mut mapped = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.bytes().next() {
            let length = match first {
                b'"' => string_length(rest),
                b'-' | b'0'..=b'9' => length_while(rest, is_of_number),
                _ => length_while(rest, |byte| {
                    byte != b'"' && !byte.is_ascii_digit() && byte != b'-'
                }),
            };
            let (part, left) = rest.split_at(length);
            rest = left;
            let plain = match first {
                b'"' => serde_json::from_str(part).unwrap_or_else(|_| part.to_owned()),
                b'-' | b'0'..=b'9' => part.to_owned(),
                _ => {
                    mapped.push_str(part);
                    continue;
                }
            };
            let changed = change(&plain);
            if changed == plain {
                mapped.push_str(part);
            } else {
                mapped.push_str(&serde_json::Value::from(changed).to_string());
            }
        }
        mapped
    }
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || b"+-.eE".contains(&byte)
}

/// Bytes at the beginning of `text` that are `wanted`.
fn length_while(text: &str, wanted: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|&byte| wanted(byte)).count()
}

/// Bytes of the string that `json` begins with, its quotes included.
fn string_length(json: &str) -> usize {
    let mut escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.map_or(json.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_changed_is_written_anew() {
        let json = "{ \"a\\u0062\":\t[1.50, -2e5, true, null], \"c\": \"\\\"\" }";
        assert_eq!(Form::Json.map(json, str::to_owned), json);
        let shouted = Form::Json.map(json, |part| part.replace("ab", "\"\n"));
        assert_eq!(shouted, json.replace("a\\u0062", "\\\"\\n"));
    }

    #[test]
    fn a_number_that_is_changed_becomes_a_string() {
        let masked =
            Form::Json.map("[6281234567890, 7]", |part| part.replace("6281234567890", "x"));
        assert_eq!(masked, "[\"x\", 7]");
    }

    #[test]
    fn what_is_no_json_is_changed_as_it_stands() {
        for broken in ["{\"a\": \"joe", "\"\\q joe\"", "to: joe", "joe\"", ""] {
            let changed = Form::Json.map(broken, |part| part.replace("joe", "x"));
            assert_eq!(changed, broken.replace("joe", "x"));
        }
    }
}
