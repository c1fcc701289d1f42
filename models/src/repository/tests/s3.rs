//! A repository on a real server of S3.

use tandem_tests::S3Server;

use super::*;
use crate::pull::{S3Keys, Token};

fn bench(server: &S3Server, secret: &str) -> Bench {
    let mut bench = Bench::new();
    bench.options.s3 = S3 {
        endpoint: Some(server.url()),
        region: "us-east-1".into(),
        keys: Some(S3Keys {
            id: S3Server::ACCESS_KEY.into(),
            secret: Token(secret.into()),
            session: None,
        }),
    };
    bench
}

#[tokio::test]
async fn versions_go_through_a_bucket_and_only_what_is_new_of_them() {
    let server = S3Server::start().await;
    let bench = bench(&server, S3Server::SECRET_KEY);
    let place: Place = format!("s3://{}/models", S3Server::BUCKET).parse().unwrap();
    // More chunks than one page of the list of objects has.
    let before = model(80 * MIB, 1);
    let first = bench.push_to(&place, "1.0.0", &before, None).await.unwrap();
    assert!(first.chunks_total > 1000, "{first:?}");
    assert_eq!(first.chunks_sent, first.chunks_total);
    let again = bench.push_to(&place, "1.0.0", &before, None).await.unwrap();
    assert_eq!((again.chunks_sent, again.bytes_sent), (0, 0));
    let same = bench.push_to(&place, "1.0.1", &before, None).await.unwrap();
    assert_eq!(same.chunks_sent, 0, "what is there is known by the list of objects");
    bench.update(newest(&place)).await.unwrap();
    bench.has("1.0.1", &before);

    let after = with_a_percent_changed(&before, 5);
    let second = bench.push_to(&place, "1.1.0", &after, None).await.unwrap();
    assert!(second.bytes_sent < before.len() as u64 / 20, "{second:?}");
    let updated = bench.update(newest(&place)).await.unwrap();
    assert_eq!(updated.bytes_fetched, second.bytes_sent);
    bench.has("1.1.0", &after);
}

#[tokio::test]
async fn a_wrong_key_is_said_to_be_one() {
    let server = S3Server::start().await;
    let bench = bench(&server, "wrong");
    let place = format!("s3://{}", S3Server::BUCKET).parse().unwrap();
    for refused in [
        bench.push_to(&place, "1.0.0", &model(MIB, 1), None).await.map(drop).unwrap_err(),
        bench.update(newest(&place)).await.map(drop).unwrap_err(),
    ] {
        let denied = matches!(refused, Error::Pull(crate::pull::Error::Denied { status: 403, .. }));
        assert!(denied, "{refused}");
    }
}
