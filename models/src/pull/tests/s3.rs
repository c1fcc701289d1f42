//! S3, as far as asking goes: the server answers whoever asks and does not check what is signed.

use super::*;
use crate::pull::{S3Keys, Token};

const SOURCE: &str = "s3://bucket/a folder/m+1.gguf";

fn place(server: &Server, session: Option<&str>) -> Place {
    let mut place = Place::new();
    place.options.s3 = S3 {
        endpoint: Some(format!("http://127.0.0.1:{}", server.port)),
        region: "eu-test-1".into(),
        keys: Some(S3Keys {
            id: "AKEXAMPLE".into(),
            secret: Token("s3cret/+=".into()),
            session: session.map(|session| Token(session.into())),
        }),
    };
    place
}

#[tokio::test]
async fn every_part_of_an_object_is_asked_for_with_an_address_that_is_signed() {
    let content = model(7 * MIB + 9, 1);
    let server = Server::start(content.clone(), Manner::default());
    let place = place(&server, Some("for-a-while"));
    place.pull(&from(&[SOURCE])).await.unwrap();
    place.assert_has(&content);
    assert!(server.requests().len() >= 5);
    for asked in server.requests() {
        assert!(asked.starts_with("get /bucket/a%20folder/m%2b1.gguf?"), "{asked}");
        for part in ["x-amz-signature=", "akexample%2f", "eu-test-1", "x-amz-security-token="] {
            assert!(asked.contains(part), "{part} is not in {asked}");
        }
        assert!(!asked.contains("s3cret"), "{asked}");
    }
}

#[tokio::test]
async fn who_may_not_read_an_object_is_told_about_keys() {
    let manner = Manner { refusal: Some((403, String::new())), ..Manner::default() };
    let server = Server::start(Vec::new(), manner);
    let mut place = place(&server, None);
    let told = place.pull(&from(&[SOURCE])).await.unwrap_err().to_string();
    assert!(told.contains("check keys, region and endpoint"), "{told}");
    place.options.s3.keys = None;
    let told = place.pull(&from(&[SOURCE])).await.unwrap_err().to_string();
    assert!(told.contains("AWS_ACCESS_KEY_ID"), "{told}");
    let open = server.requests().pop().unwrap_or_default();
    assert!(!open.contains("x-amz-"), "without keys nothing is signed: {open}");
}
