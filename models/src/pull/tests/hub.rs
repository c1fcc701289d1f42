//! The Hugging Face hub, played by a server that sends callers on to another one.

use crate::pull::Token;

use super::*;

const SOURCE: &str = "hf:owner/model-GGUF@v2/m.gguf";

/// A hub whose files are at the other server.
fn hub(files: &Server, headers: &str) -> Server {
    let lines = format!("location: {}\r\n{headers}", files.url());
    let manner = Manner { refusal: Some((302, lines)), ..Manner::default() };
    Server::start(Vec::new(), manner)
}

fn place(hub: &Server) -> Place {
    let mut place = Place::new();
    let endpoint = format!("http://127.0.0.1:{}", hub.port);
    place.options.hub = Hub { endpoint, token: Some(Token("s3cret".into())) };
    place
}

#[tokio::test]
async fn a_file_is_fetched_from_where_the_hub_sends_us_and_the_token_stays_with_the_hub() {
    let content = model(3 * MIB, 1);
    let files = Server::start(content.clone(), Manner::default());
    let linked = format!("x-linked-etag: \"{}\"\r\n", hash(&content));
    let hub = hub(&files, &linked);
    let place = place(&hub);
    place.pull(&from(&[SOURCE])).await.unwrap();
    place.assert_has(&content);
    for asked in hub.requests() {
        assert!(asked.starts_with("get /owner/model-gguf/resolve/v2/m.gguf http/1.1"), "{asked}");
        assert!(asked.contains("authorization: bearer s3cret"), "{asked}");
    }
    assert!(files.requests().iter().all(|asked| !asked.contains("authorization")));
    assert!(!format!("{:?}", place.options).contains("s3cret"));
}

#[tokio::test]
async fn what_does_not_have_the_hash_that_the_hub_tells_is_thrown_away() {
    let files = Server::start(model(MIB, 1), Manner::default());
    let linked = format!("x-linked-etag: \"{}\"\r\n", "0".repeat(64));
    let hub = hub(&files, &linked);
    let place = place(&hub);
    let error = place.pull(&from(&[SOURCE])).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn a_model_whose_licence_was_not_accepted_says_so() {
    for (status, token) in [(401, None), (403, Some(Token("s3cret".into())))] {
        let manner = Manner { refusal: Some((status, String::new())), ..Manner::default() };
        let hub = Server::start(Vec::new(), manner);
        let mut place = place(&hub);
        place.options.hub.token = token;
        let error = place.pull(&from(&[SOURCE])).await.unwrap_err().to_string();
        let advice =
            format!("accept the licence of the model at http://127.0.0.1:{}/owner/", hub.port);
        assert!(error.contains(&advice) && error.contains("models.pull.hf_token"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn who_is_sent_in_circles_does_not_go_on_for_ever() {
    let manner =
        Manner { refusal: Some((302, "location: /again\r\n".into())), ..Manner::default() };
    let server = Server::start(Vec::new(), manner);
    let error = Place::new().pull(&of(&server)).await.unwrap_err();
    assert!(error.to_string().contains("from one address to the next"), "{error}");
    assert_eq!(server.requests().len(), 9);
}
