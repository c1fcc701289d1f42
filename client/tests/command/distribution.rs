//! Versions of models that are handed on.

use crate::run;
use crate::server::Server;

#[tokio::test]
async fn a_package_lies_here_unless_another_place_is_named() {
    let server = Server::start();
    let packed = run(&server, &["model", "package", "own", "--version", "1.2.0", "--json"]).await;
    let here = std::env::current_dir().unwrap();
    let packed = packed.json();
    assert_eq!(packed["path"], here.join("own-1.2.0.tar.zst").to_str().unwrap());
    assert_eq!(packed["signed"], false);
    let elsewhere = ["--out", "/srv/p.tar.zst", "--sign", "/k", "--version", "1.2.0"];
    let packed = run(&server, &[&["model", "package", "own"][..], &elsewhere].concat()).await;
    assert_eq!(packed.stdout, "own 1.2.0 is in /srv/p.tar.zst (5 B, signed)\n");
}

#[tokio::test]
async fn a_version_is_part_of_what_is_pushed() {
    let server = Server::start();
    let pushed = run(&server, &["model", "push", "own@1.2.0", "s3://b/p", "--json"]).await.json();
    assert_eq!((&pushed["id"], &pushed["version"]), (&"own".into(), &"1.2.0".into()));
    let pushed = run(&server, &["model", "push", "own", "s3://b/p"]).await;
    assert!(pushed.stderr.contains("own has no version"), "{}", pushed.stderr);
    assert_eq!(pushed.code, 2);
}

#[tokio::test]
async fn an_update_says_what_it_cost_and_a_key_what_it_is_for() {
    let server = Server::start();
    let updated = run(&server, &["model", "update", "own"]).await;
    assert!(updated.stdout.contains("of which 3 B were fetched"), "{}", updated.stdout);
    let made = run(&server, &["model", "keygen", "/k"]).await;
    assert!(made.stdout.contains("trusted_keys = [\"key\"]"), "{}", made.stdout);
    let refused = run(&server, &["model", "install", "p.tar.zst"]).await;
    assert_eq!(refused.code, 1);
}
