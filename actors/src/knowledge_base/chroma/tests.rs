#![allow(clippy::unwrap_used, reason = "tests")]

use tandem_knowledge::Label;

use super::*;

fn server(url: &str) -> Server {
    Server::new(Settings { url: url.to_owned(), ..Settings::default() })
}

#[test]
fn a_request_goes_below_the_address_that_was_set() {
    let settings = Settings {
        url: "https://host:1/below".to_owned(),
        tenant: "a b".to_owned(),
        database: "c/d".to_owned(),
        ..Settings::default()
    };
    let address = Server::new(settings).address(&["id", "count"]).unwrap();
    let expected = "https://host:1/below/api/v2/tenants/a%20b/databases/c%2Fd/collections/id/count";
    assert_eq!(address.as_str(), expected);
    assert!(server("http://vectors.example").is_elsewhere());
    assert!(!server("http://127.0.0.1:8000").is_elsewhere());
}

#[test]
fn what_is_sent_of_a_chunk_is_its_number_its_vector_and_what_it_is_filtered_by() {
    let point = Point {
        id: 7,
        vector: vec![0.6, -0.8],
        label: Label::MayLeave,
        metadata: [("year".to_owned(), "2024".to_owned())].into(),
    };
    let body: Value = serde_json::from_slice(&upsert(&[point]).unwrap()).unwrap();
    assert_eq!(body["ids"], json!(["7"]));
    assert_eq!(body["metadatas"], json!([{ "label": "may-leave", "meta.year": "2024" }]));
    assert_eq!(body["embeddings"][0].as_array().unwrap().len(), 2);
    assert_eq!(body.as_object().unwrap().len(), 3);
}

#[test]
fn a_filter_becomes_a_condition_on_the_metadata() {
    let mut filter = Filter::default();
    assert_eq!(condition(&filter), None);
    filter.metadata.insert("year".to_owned(), ["2023".to_owned(), "2024".to_owned()].into());
    let year = json!({ "meta.year": { "$in": ["2023", "2024"] } });
    assert_eq!(condition(&filter), Some(year.clone()));
    filter.label = Some(Label::LocalOnly);
    let both = json!({ "$and": [year, { "label": { "$eq": "local-only" } }] });
    assert_eq!(condition(&filter), Some(both));
}

#[test]
fn a_refusal_says_what_to_do_and_is_quoted_in_short() {
    let said = |status: u16, body: &str| {
        let status = StatusCode::from_u16(status).unwrap();
        server("http://h").accept(status, body.as_bytes().to_vec()).unwrap_err().to_string()
    };
    assert!(said(401, "").contains("knowledge.chroma.token"));
    assert!(said(308, "").contains("knowledge.chroma.url"));
    let missing = r#"{"error":"NotFoundError","message":"Database [x]\n not found"}"#;
    let missing = said(404, missing);
    assert!(missing.contains("answers 404 Not Found: Database [x] not found;"), "{missing}");
    assert!(missing.contains("knowledge.chroma.fallback = true"), "{missing}");
    assert!(said(500, &"é".repeat(10_000)).len() < 2000);
}
