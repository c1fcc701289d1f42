//! Which passages an answer refers to, by their numbers.

/// Longest reference that is looked for, such as `[1, 12, 40]`.
const REFERENCE_BYTES_MAX: usize = 64;
/// More numbers are none of passages.
const NUMBERS_MAX: usize = 100;

/// The numbers in square brackets of an answer, each once, in the order of their first mention: `[2]`,
/// `[1, 3]` and `[4][5]` are understood.
pub(super) fn cited(answer: &str) -> Vec<u32> {
    let mut cited = Vec::new();
    let mut rest = answer;
    while let Some(at) = rest.find('[') {
        rest = &rest[at + 1..];
        let near = rest.as_bytes().iter().take(REFERENCE_BYTES_MAX);
        let Some(end) = near.clone().position(|byte| *byte == b']') else { continue };
        let numbers: Option<Vec<u32>> =
            rest[..end].split(',').map(|number| number.trim().parse().ok()).collect();
        for number in numbers.unwrap_or_default() {
            if !cited.contains(&number) && cited.len() < NUMBERS_MAX {
                cited.push(number);
            }
        }
    }
    cited
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_in_the_order_of_their_first_mention() {
        let answer = "It ends in March [2], as the letter says [1, 3][2]. See also [ 4 ].";
        assert_eq!(cited(answer), [2, 1, 3, 4]);
    }

    #[test]
    fn what_is_no_reference_to_a_passage_is_passed_over() {
        for answer in ["a[i]", "[-1] [1.5] []", "[1", "[one]", "[[", "é[", "[9999999999]"] {
            assert!(cited(answer).is_empty(), "{answer}");
        }
        assert_eq!(cited("[x [3] y]"), [3]);
        let far = format!("[{}1]", " ".repeat(REFERENCE_BYTES_MAX));
        assert!(cited(&far).is_empty());
    }
}
