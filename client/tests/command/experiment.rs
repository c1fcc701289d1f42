//! Verdicts and experiments.

use serde_json::{Value, json};

use super::{Server, run};

#[tokio::test]
async fn a_verdict_is_on_the_last_answer_unless_a_turn_is_named() {
    let server = Server::start();
    for arguments in [&["feedback", "up"][..], &["feedback", "up", "--last"]] {
        let outcome = run(&server, arguments).await;
        assert_eq!((outcome.stdout.as_str(), outcome.code), ("up the-last\n", 0));
    }
    let named = run(&server, &["feedback", "down", "7", "--comment", "no", "--json"]).await;
    assert_eq!(named.json(), json!({ "turn_id": "7", "verdict": "down" }));
    for wrong in
        [&["feedback", "up", "7", "--last"][..], &["feedback", "up", "--conversation", "1"]]
    {
        assert_eq!(run(&server, wrong).await.code, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn judged_questions_are_exported_one_a_line_with_the_side_that_was_seen() {
    let server = Server::start();
    let outcome = run(&server, &["feedback", "export"]).await;
    let lines: Vec<Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |id, prompt, weak, strong| json!({ "id": id, "prompt": prompt, "domain": "feedback", "weak_score": weak, "strong_score": strong });
    let seen =
        [line("1", "what?", json!(0.0), Value::Null), line("2", "why?", Value::Null, json!(1.0))];
    assert_eq!(lines, seen);
    assert!(outcome.stderr.contains("1 of 3 verdicts are left out"), "{}", outcome.stderr);
}

#[tokio::test]
async fn a_report_compares_each_variant_with_the_control() {
    let server = Server::start();
    let list = run(&server, &["experiment", "list"]).await;
    assert!(list.stdout.contains("greeting  on     100 %  b, control  200"), "{}", list.stdout);

    let report = run(&server, &["experiment", "report", "greeting", "--json"]).await.json();
    assert_eq!(report["control"], "control");
    let measure = |variant: usize, name: &str| {
        let measures = report["variants"][variant]["measures"].as_array().unwrap();
        measures.iter().find(|measure| measure["name"] == name).unwrap().clone()
    };
    // 70 of 90 against 20 of 40.
    let approved = measure(0, "approved");
    assert!(
        (approved["difference"]["value"].as_f64().unwrap() - 0.2778).abs() < 0.001,
        "{approved}"
    );
    assert!(approved["difference"]["low"].as_f64().unwrap() > 0.0, "{approved}");
    assert_eq!(measure(1, "approved")["difference"], Value::Null);
    assert_eq!(measure(0, "first token")["estimate"], Value::Null);

    let text = run(&server, &["experiment", "report", "greeting"]).await.stdout;
    assert!(text.contains("more than the control's"), "{text}");
    assert!(text.contains("too little to compare"), "{text}");
    let missing = run(&server, &["experiment", "report", "absent"]).await;
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("there is greeting"), "{}", missing.stderr);
}
