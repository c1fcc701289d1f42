//! What a conversation is called.

/// `text` as one line of at most `bytes_max` bytes: blanks and control characters become single
/// spaces, and the cut is between characters.
pub(super) fn one_line(text: &str, bytes_max: usize) -> String {
    let mut line = String::new();
    for character in text.chars() {
        let blank = character.is_whitespace() || character.is_control();
        let character = if blank { ' ' } else { character };
        if blank && (line.is_empty() || line.ends_with(' ')) {
            continue;
        }
        if line.len() + character.len_utf8() > bytes_max {
            break;
        }
        line.push(character);
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_control_characters_become_single_spaces() {
        assert_eq!(
            one_line("\n  why\r\n\tis \u{1b}[31mthe sky blue? \n", 80),
            "why is [31mthe sky blue?"
        );
        assert_eq!(one_line(" \n ", 80), "");
    }

    #[test]
    fn the_cut_is_between_characters() {
        assert_eq!(one_line("äöü", 5), "äö");
        assert_eq!(one_line("äöü", 6), "äöü");
        assert_eq!(one_line("one two", 4), "one");
        assert_eq!(one_line("🦀", 3), "");
    }
}
