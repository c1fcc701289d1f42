//! What `tandem ask` reads from a file for the answer to obey.

use std::fs;

use crate::{run, server::Server};

#[tokio::test]
async fn a_schema_and_a_grammar_reach_the_daemon() {
    let server = Server::start();
    let file = server.home().join("form");
    fs::write(&file, "{\"type\": \"object\"}\n").unwrap();
    let path = file.to_str().unwrap();
    for flag in ["--json-schema", "--grammar"] {
        assert_eq!(run(&server, &["ask", flag, path, "hi"]).await.code, 0);
    }
    let asked: Vec<_> = server.asked().into_iter().map(|ask| ask.sampling.unwrap()).collect();
    assert_eq!(asked[0].json_schema, "{\"type\": \"object\"}\n");
    assert_eq!(asked[1].grammar, asked[0].json_schema);
    assert!(asked[0].grammar.is_empty() && asked[1].json_schema.is_empty());
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused() {
    let server = Server::start();
    let [empty, long] = ["empty", "long"].map(|name| server.home().join(name));
    fs::write(&empty, " \n").unwrap();
    fs::write(&long, "x".repeat(65_537)).unwrap();
    for path in [empty.as_path(), long.as_path(), server.home()] {
        let outcome = run(&server, &["ask", "--grammar", path.to_str().unwrap(), "hi"]).await;
        assert!(outcome.stderr.contains(path.to_str().unwrap()), "{}", outcome.stderr);
        assert_eq!(outcome.code, 2);
    }
    let path = empty.to_str().unwrap();
    let both = run(&server, &["ask", "--grammar", path, "--json-schema", path, "hi"]).await;
    assert_eq!(both.code, 2);
    assert!(server.asked().is_empty());
}
