//! Templates of the program and of users.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn passages() -> Vec<Passage> {
    let place =
        Place { page: Some(3), line: None, headings: vec!["Setup".to_owned(), "Linux".to_owned()] };
    let passage = |n: usize, text: &str| Passage {
        n,
        text: text.to_owned(),
        source: "/d/guide.pdf".to_owned(),
        title: "The guide".to_owned(),
        place: place.describe(),
    };
    vec![passage(1, "Water boils at 100 °C."), passage(2, "Ice melts at 0 °C.")]
}

fn folder_with(language: &str, name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(language)).unwrap();
    fs::write(folder.path().join(language).join(name), text).unwrap();
    folder
}

fn refusal(text: &str) -> (PathBuf, usize, String) {
    let folder = folder_with("en", "mine.jinja", text);
    match Templates::load(Some(folder.path())) {
        Err(Error::Template { path, line, detail }) => (path, line, detail),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn every_template_shows_numbers_texts_titles_and_places() {
    let templates = Templates::load(None).unwrap();
    assert_eq!(templates.list().len(), BUILT_IN.len());
    for Listed { name, language, .. } in templates.list() {
        let text = templates.render(&name, &language, &passages()).unwrap();
        for part in ["[1]", "[2]", "Water boils", "Ice melts", "The guide", "p. 3, Setup > Linux"] {
            assert!(text.contains(part), "{language}/{name} lacks {part}:\n{text}");
        }
        assert!(!text.contains("\n\n\n"), "{text}");
    }
}

#[test]
fn without_passages_every_template_asks_to_say_so() {
    let templates = Templates::load(None).unwrap();
    for Listed { name, language, .. } in templates.list() {
        let text = templates.render(&name, &language, &[]).unwrap();
        let said = if language == "id" { "tidak ada" } else { "no passage" };
        assert!(text.to_lowercase().contains(said), "{language}/{name}:\n{text}");
    }
}

#[test]
fn a_template_of_the_user_takes_the_place_of_a_built_in_one() {
    let folder = folder_with(
        "en",
        "default.jinja",
        "{% for p in passages %}({{ p.n }}) {{ p.text }}\n{% endfor %}",
    );
    let templates = Templates::load(Some(folder.path())).unwrap();
    assert_eq!(
        templates.render("default", "en", &passages()).unwrap(),
        "(1) Water boils at 100 °C.\n(2) Ice melts at 0 °C."
    );
    assert!(templates.render("default", "id", &passages()).unwrap().contains("kutipan"));
    let mine = templates.list().into_iter().find(|listed| listed.path.is_some()).unwrap();
    assert_eq!((mine.name.as_str(), mine.language.as_str()), ("default", "en"));
}

#[test]
fn a_language_that_a_template_lacks_is_answered_in_english() {
    let templates = Templates::load(None).unwrap();
    assert_eq!(
        templates.render("technical", "fr", &passages()).unwrap(),
        templates.render("technical", "en", &passages()).unwrap()
    );
}

#[test]
fn an_unknown_template_is_refused_with_the_known_ones() {
    let error = Templates::load(None).unwrap().render("legal", "en", &[]).unwrap_err();
    assert!(error.to_string().contains("technical (en)"), "{error}");
}

#[test]
fn mistakes_are_named_with_file_and_line() {
    let (path, line, _) = refusal("one\ntwo\n{% for p in passages %}{{ p.text ");
    assert!(path.ends_with("en/mine.jinja"));
    assert_eq!(line, 3);
    let (_, line, detail) = refusal("{% for p in passages %}\n{{ p.n }} {{ p.txt }}\n{% endfor %}");
    assert_eq!(line, 2, "{detail}");
}

#[test]
fn a_template_must_show_each_passage_with_its_number() {
    assert!(refusal("Answer.").2.contains("text of each"));
    assert!(refusal("{{ passages[0].text }} {{ passages[0].n }}").2.contains("text of each"));
    assert!(refusal("{% for p in passages %}{{ p.text }}{% endfor %}").2.contains("number `n`"));
}

#[test]
fn a_template_that_never_ends_is_refused() {
    let text = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    assert_eq!(refusal(text).2, "takes too long");
}
