//! `{% generation %}` and `{% endgeneration %}`, with which templates say what the assistant wrote.
//!
//! Only training needs it, and the template engine does not know it. It scopes variables as
//! `{% with %}` does, which therefore takes its place.

/// `template` with other blocks in the place of these.
pub fn removed(template: &str) -> String {
    let mut plain = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at + 2);
        plain.push_str(before);
        let control = tag.len() - tag.trim_start_matches(['-', '+']).len();
        let blanks = tag[control..].len() - tag[control..].trim_start().len();
        let (lead, word) = tag.split_at(control + blanks);
        let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (word, after) = word.split_at(end.unwrap_or(word.len()));
        let closes = after.trim_start().trim_start_matches(['-', '+']).starts_with("%}");
        plain.push_str(lead);
        plain.push_str(match word {
            "generation" if closes => "with",
            "endgeneration" if closes => "endwith",
            other => other,
        });
        rest = after;
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_tags_are_replaced() {
        assert_eq!(
            removed("a{% generation %}b{%- endgeneration -%}c{%generation-%}"),
            "a{% with %}b{%- endwith -%}c{%with-%}"
        );
        for other in [
            "",
            "{%",
            "{%-",
            "{% generation",
            "{% set generation = 1 %}{{ generation }}",
            "{% if generation %}{% generations %}{% generation x %}",
            "{{ '{% gener' }}ation %}",
        ] {
            assert_eq!(removed(other), other);
        }
    }
}
