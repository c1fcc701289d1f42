//! How far a mistyped name is from a known one.

/// Longest name that is compared; the rest is not looked at.
const CHARS_MAX: usize = 64;

/// Levenshtein distance, case aside.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let lower = |text: &str| -> Vec<char> {
        text.chars().take(CHARS_MAX).flat_map(char::to_lowercase).collect()
    };
    let (a, b) = (lower(a), lower(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = row[j] + usize::from(from != to);
            next.push(replaced.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted_and_case_is_not() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("SmolLM2", "smollm2"), 0);
        assert_eq!(distance("smolm2", "smollm2"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("", ""), 0);
    }
}
