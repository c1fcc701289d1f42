//! The settings of documents.

use super::*;
use crate::{Chroma, KnowledgeBackend};

#[test]
fn collections_search_by_themselves_unless_a_server_is_chosen() {
    let knowledge = Home::new("").load().unwrap().knowledge;
    assert_eq!(knowledge.backend, KnowledgeBackend::Embedded);
    assert_eq!(knowledge.chroma, Chroma::default());

    let settings = "[knowledge]\nbackend = 'chroma'\n[knowledge.chroma]\n\
                    url = 'https://vectors.example/api/v2/'\ntenant = 'home'\n\
                    database = 'documents'\ntimeout = '2s'\nfallback = false";
    let home = Home::new(settings).with("TANDEM_KNOWLEDGE__CHROMA__TOKEN__ENV", "NO_CHROMA_TOKEN");
    let config = home.load().unwrap();
    assert_eq!(config.knowledge.backend, KnowledgeBackend::Chroma);
    let chroma = Chroma {
        url: "https://vectors.example".into(),
        tenant: "home".into(),
        database: "documents".into(),
        token: Some(Secret::Env("NO_CHROMA_TOKEN".into())),
        timeout: Duration::from_secs(2),
        fallback: false,
    };
    assert_eq!(config.knowledge.chroma, chroma);
    assert_eq!(Home::new(&config.to_toml()).load().unwrap().knowledge, config.knowledge);
    let warnings = config.warnings();
    assert!(warnings[0].starts_with("knowledge.chroma.token: "), "{warnings:?}");
}

#[test]
fn a_token_in_the_settings_is_refused_and_never_repeated() {
    for settings in [
        "token = 'ck-secret'",
        "token = { env = 'ck-secret' }",
        "url = 'https://me:ck-secret@host'",
        "url = 'https://host?token=ck-secret'",
    ] {
        let error = Home::new(&format!("[knowledge.chroma]\n{settings}")).load().unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("ck-secret"), "{text}");
    }
}
