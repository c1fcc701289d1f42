//! Constraints over a vocabulary of single bytes.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    reason = "tests"
)]

use super::*;
use crate::vocabulary::Vocabulary;

/// Tokens are bytes; 256 and 257 end the answer, 258 is a control token.
struct Bytes;

const ENDS: [u32; 2] = [256, 257];

impl Vocabulary for Bytes {
    fn size(&self) -> u32 {
        259
    }

    fn ends_generation(&self, token: u32) -> bool {
        ENDS.contains(&token)
    }

    fn append_text(&self, token: u32, out: &mut Vec<u8>) {
        out.extend(u8::try_from(token).ok());
    }

    fn append_bytes(&self, token: u32, out: &mut Vec<u8>) {
        match u8::try_from(token) {
            Ok(byte) => out.push(byte),
            Err(_) => out.extend(format!("<|{token}|>").bytes()),
        }
    }
}

/// The same without tokens that end an answer.
struct Endless;

impl Vocabulary for Endless {
    fn size(&self) -> u32 {
        256
    }

    fn ends_generation(&self, _: u32) -> bool {
        false
    }

    fn append_text(&self, token: u32, out: &mut Vec<u8>) {
        Bytes.append_text(token, out);
    }

    fn append_bytes(&self, token: u32, out: &mut Vec<u8>) {
        Bytes.append_bytes(token, out);
    }
}

fn compile(sampling: &Sampling) -> Result<Constraint, ConstraintError> {
    let compiler = Compiler::new(&Bytes).unwrap();
    Wanted::new(sampling)?.unwrap().compile(&compiler)
}

fn grammar(text: &str) -> Constraint {
    compile(&Sampling { grammar: text.to_owned(), ..Sampling::default() }).unwrap()
}

fn schema(text: &str) -> Constraint {
    compile(&Sampling { json_schema: text.to_owned(), ..Sampling::default() }).unwrap()
}

fn problem(sampling: &Sampling) -> String {
    compile(sampling).unwrap_err().to_string()
}

fn allows(constraint: &mut Constraint, token: u32) -> bool {
    let word = constraint.allowed().unwrap().map(|words| words[token as usize / 32]);
    word.is_some_and(|word| word >> (token % 32) & 1 == 1)
}

/// Whether the constraint takes `text` byte by byte and lets the answer end behind it.
fn takes(mut constraint: Constraint, text: &str) -> bool {
    for byte in text.bytes() {
        if !allows(&mut constraint, byte.into()) {
            return false;
        }
        constraint.advance(byte.into()).unwrap();
    }
    constraint.allowed().unwrap().is_none() || ENDS.iter().all(|&end| allows(&mut constraint, end))
}

#[test]
fn a_schema_allows_what_it_describes_and_nothing_else() {
    let text = r##"{
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 5},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "next": {"$ref": "#"}
        },
        "required": ["name"],
        "additionalProperties": false
    }"##;
    for good in [
        r#"{"name":"Ann"}"#,
        r#"{"name": "", "age": 120}"#,
        "{\n  \"name\": \"\\n\"\n}",
        r#"{"name":"a","next":{"name":"b","next":{"name":"c"}}}"#,
    ] {
        assert!(takes(schema(text), good), "{good}");
    }
    for bad in [
        "",
        "{}",
        r#"{"name":1}"#,
        r#"{"name":"Ann""#,
        r#"{"name":"Barbara"}"#,
        r#"{"name":"Ann","age":121}"#,
        r#"{"name":"Ann","sex":""}"#,
        r#"Sure: {"name":"Ann"}"#,
    ] {
        assert!(!takes(schema(text), bad), "{bad}");
    }
}

#[test]
fn json_allows_any_object() {
    let json = || compile(&Sampling { json: true, ..Sampling::default() }).unwrap();
    assert!(takes(json(), r#"{"a":[1,2.5e-3,{"b":null}],"é":true}"#));
    assert!(!takes(json(), "[1]"));
    assert!(!takes(json(), &format!("{{{}}}", " ".repeat(41))), "white space is bounded");
}

#[test]
fn an_answer_ends_only_where_it_may_and_with_any_of_the_ends() {
    let mut constraint = schema(r#"{"type":"integer"}"#);
    assert!(!ENDS.iter().any(|&end| allows(&mut constraint, end)));
    constraint.advance(b'7'.into()).unwrap();
    assert!(ENDS.iter().all(|&end| allows(&mut constraint, end)));
    assert!(allows(&mut constraint, b'1'.into()), "it may also go on");
}

#[test]
fn an_answer_that_cannot_go_on_is_over() {
    let mut constraint = grammar("root ::= \"yes\" | \"no\"");
    assert!(!constraint.advance(b'n'.into()).unwrap());
    assert!(constraint.advance(b'o'.into()).unwrap());
    assert_eq!(constraint.allowed(), Ok(None));
    assert_eq!(constraint.advance(b'w'.into()), Ok(true));
}

#[test]
fn a_vocabulary_without_an_end_ends_where_nothing_can_follow() {
    let sampling = Sampling { grammar: "root ::= \"no\" \"w\"?".to_owned(), ..Sampling::default() };
    let wanted = Wanted::new(&sampling).unwrap().unwrap();
    let mut constraint = wanted.compile(&Compiler::new(&Endless).unwrap()).unwrap();
    for (byte, over) in [(b'n', false), (b'o', false), (b'w', true)] {
        assert!(constraint.allowed().unwrap().is_some());
        assert_eq!(constraint.advance(byte.into()), Ok(over));
    }
}

#[test]
fn a_token_that_is_not_allowed_stops_the_constraint() {
    let mut constraint = grammar("root ::= \"yes\"");
    assert!(constraint.advance(b'n'.into()).is_err());
    assert!(constraint.allowed().is_err());
}

#[test]
fn control_tokens_are_never_text() {
    let mut constraint = grammar("root ::= .*");
    assert!(allows(&mut constraint, b'<'.into()));
    assert!(!allows(&mut constraint, 258));
}

#[test]
fn gbnf_without_recursion_takes_exactly_what_it_says() {
    let list = "root ::= item (\", \" item){0,2} \".\"\nitem ::= [a-z]+ \"end\"? | [^a-z .,]\n";
    for good in ["a.", "endend, é.", "bend, c, d.", "1, 2, 3."] {
        assert!(takes(grammar(list), good), "{good}");
    }
    for bad in ["", ".", "a", "a,b.", "a, b, c, d.", "1a."] {
        assert!(!takes(grammar(list), bad), "{bad}");
    }
    // A text that its own continuation could be mistaken for.
    assert!(takes(grammar("root ::= [a-z]* \"end\" | \"\""), "weekend"));
    assert!(takes(grammar("root ::= [a-z]* \"end\" | \"\""), ""));
    assert!(takes(grammar("root ::= \"\\\"/\\\\\" [/\\\\\\-\\]]+"), "\"/\\/\\-]"));
    assert!(takes(grammar("root ::= ."), "\n"));
    assert!(takes(grammar("root ::= \"ab\"{2,}"), "ababab"));
}

#[test]
fn gbnf_with_recursion_nests() {
    let json = r#"
        root   ::= object
        value  ::= object | array | string | number | ("true" | "false" | "null") ws
        object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
        array  ::= "[" ws ( value ("," ws value)* )? "]" ws
        string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
        number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]{1,15})? ws
        # Not too much white space.
        ws ::= | " " | "\n" [ \t]{0,20}
    "#;
    for good in ["{}", "{\"a\": [1, -2.5e+7, \"\\u00e9\"],\n  \"b\":{\"c\":[[],null]}}"] {
        assert!(takes(grammar(json), good), "{good}");
    }
    for bad in ["[]", "{", "{\"a\":}", "{\"a\":1,}", "{\"a\":[1}"] {
        assert!(!takes(grammar(json), bad), "{bad}");
    }
    let parentheses = "root ::= pair+\npair ::= \"(\" pair* \")\"";
    assert!(takes(grammar(parentheses), "(()(()))()"));
    assert!(!takes(grammar(parentheses), "(()"));
    let left = "root ::= root \"+\" [0-9] | [0-9]";
    assert!(takes(grammar(left), "1+2+3"));
}

#[test]
fn lark_is_taken_as_it_is() {
    let text =
        "start: greeting \" \" NAME\ngreeting: \"hello\" | \"good day\"\nNAME: /[A-Z][a-z]+/";
    assert!(takes(grammar(text), "good day Ann"));
    assert!(!takes(grammar(text), "hello ann"));
}

#[test]
fn constraints_that_cannot_be_used_are_refused_by_name() {
    let schema = |text: &str| Sampling { json_schema: text.to_owned(), ..Sampling::default() };
    let grammar = |text: &str| Sampling { grammar: text.to_owned(), ..Sampling::default() };
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let cases = [
        (schema("{"), "sampling.json_schema: is not JSON"),
        (schema("[]"), "sampling.json_schema: is not a JSON object"),
        (schema(&format!(r#"{{"enum":{deep}}}"#)), "more than 64 levels deep; allowed: 1 to 64"),
        (schema(&"[".repeat(60_000)), "more than 64 levels deep; allowed: 1 to 64"),
        (schema(&" ".repeat((64 << 10) + 1)), "65537 bytes; allowed: 1 to 65536"),
        (schema(r#"{"type":"color"}"#), "sampling.json_schema: Invalid type"),
        (schema(r#"{"not":{"type":"string"}}"#), "sampling.json_schema: "),
        (schema(r##"{"$ref":"#/nowhere"}"##), "sampling.json_schema: "),
        (schema(r#"{"$ref":"https://example.org/schema"}"#), "sampling.json_schema: "),
        (schema(r#"{"type":"string","pattern":"("}"#), "sampling.json_schema: "),
        (schema(r#"{"allOf":[{"type":"string"},{"type":"null"}]}"#), "sampling.json_schema: "),
        (grammar("root ::= root2"), "sampling.grammar: rule root2 is not defined"),
        (grammar("this is no grammar"), "sampling.grammar: "),
        (grammar("root ::= root"), "sampling.grammar: "),
        (grammar(&"x".repeat((64 << 10) + 1)), "sampling.grammar: 65537 bytes"),
        (Sampling { json: true, ..schema("{}") }, "more than one is set"),
        (Sampling { grammar: "x".to_owned(), ..schema("{}") }, "more than one is set"),
    ];
    for (sampling, expected) in cases {
        let problem = problem(&sampling);
        assert!(problem.contains(expected), "{problem}");
        assert!(problem.len() < 700 && !problem.contains("panic"), "{problem}");
    }
    assert!(Wanted::new(&Sampling::default()).unwrap().is_none());
}

/// Grammars that grow when they are compiled, or are awkward in other ways.
fn hostile() -> Vec<Sampling> {
    let schema = |json_schema: String| Sampling { json_schema, ..Sampling::default() };
    let grammar = |grammar: String| Sampling { grammar, ..Sampling::default() };
    let words: Vec<String> = (0..4_000).map(|n| format!("\"word-{n}-{}\"", n * 7919)).collect();
    let doubling: String = (0..40).map(|n| format!("r{n} ::= r{0} r{0}\n", n + 1)).collect();
    let chain: String = (0..3_000).map(|n| format!("c{n} ::= \"x\" c{}\n", n + 1)).collect();
    let nested_all: String = (0..60).map(|_| r#"{"allOf":[{},"#).collect();
    let doubled: String = (0..25)
        .map(|n| {
            let next = n + 1;
            format!(r##""d{n}":{{"allOf":[{{"$ref":"#/$defs/d{next}"}},{{"$ref":"#/$defs/d{next}"}}]}},"##)
        })
        .collect();
    vec![
        grammar(format!("root ::= \"a\"{}", "*".repeat(60_000))),
        grammar(format!("root ::= (root | \"a\"){}", "{1,2}".repeat(10_000))),
        schema(format!(r#"{{"enum":[{}]}}"#, words.join(","))),
        schema(r##"{"$ref":"#"}"##.to_owned()),
        schema(r##"{"allOf":[{"$ref":"#"},{"$ref":"#"}]}"##.to_owned()),
        schema(r##"{"type":"array","items":{"$ref":"#"},"minItems":1000000000}"##.to_owned()),
        schema(r#"{"type":"string","minLength":4000000000}"#.to_owned()),
        schema(r#"{"type":"string","pattern":"^((a{1,999}){1,999}){1,999}$"}"#.to_owned()),
        schema(r#"{"type":"string","pattern":"^(.*a.{60}){9}$"}"#.to_owned()),
        schema(r#"{"type":"number","multipleOf":1e-300,"maximum":1e300}"#.to_owned()),
        schema(format!("{nested_all}{{}}{}", "]}".repeat(60))),
        schema(format!(
            r##"{{"$ref":"#/$defs/d0","$defs":{{{doubled}"d25":{{"type":"string"}}}}}}"##
        )),
        schema(format!(
            r#"{{"type":"object","properties":{{{}}}}}"#,
            (0..1_500)
                .map(|n| format!(r#""p{n}":{{"type":"object"}}"#))
                .collect::<Vec<_>>()
                .join(",")
        )),
        schema(r#"{"x-guidance":{"whitespace_pattern":"("},"type":"object"}"#.to_owned()),
        schema(r#"{"x-guidance":7}"#.to_owned()),
        grammar(format!("root ::= r0\n{doubling}r40 ::= [a-z]")),
        grammar(format!("root ::= c0\n{chain}c3000 ::= \"x\"")),
        grammar(format!("root ::= c0 root?\n{chain}c3000 ::= \"x\" root?")),
        grammar(format!("root ::= ({}) root?", words.join(" | "))),
        grammar("root ::= ((\"a\"{2000}){2000}){2000}".to_owned()),
        grammar("root ::= (((root | \"a\"){2000}){2000}){2000}".to_owned()),
        grammar("root ::= root root root | \"a\" | \"\"".to_owned()),
        grammar("start: A\nA: A".to_owned()),
        grammar("start: /((((a*)*)*)*)*b/".to_owned()),
        grammar(format!("start: {}", "(".repeat(60_000))),
        grammar("start: %json {\"type\":\"object\"}".to_owned()),
        grammar("start: \\xff".to_owned()),
    ]
}

#[test]
fn hostile_grammars_are_refused_or_followed_without_harm() {
    let compiler = Compiler::new(&Bytes).unwrap();
    let follow = move || {
        for sampling in hostile() {
            let result = Wanted::new(&sampling).and_then(|w| w.unwrap().compile(&compiler));
            let Ok(mut constraint) = result else { continue };
            for _ in 0..50 {
                let Ok(Some(words)) = constraint.allowed() else { break };
                let word = words.iter().position(|&word| word != 0).unwrap();
                let token = word as u32 * 32 + words[word].trailing_zeros();
                if constraint.advance(token) != Ok(false) {
                    break;
                }
            }
        }
    };
    // Grammars are compiled on the text thread, whose stack is as large.
    let thread = std::thread::Builder::new().stack_size(crate::text::STACK_BYTES).spawn(follow);
    thread.unwrap().join().unwrap();
}
