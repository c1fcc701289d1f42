//! Decides how many tokens are worth guessing.
//!
//! A step with more rows takes longer, on a small machine almost as many times longer. So tokens
//! are guessed only when what is likely to come of them is worth the time.

/// How much sooner tokens must come for a guess: estimates are not exact.
const GAIN_MIN: f64 = 1.05;

/// A token that could be guessed.
struct Guess {
    sequence: usize,
    /// The chance that it is right, and all before it.
    chance: f64,
}

/// The number of tokens to guess for each sequence so that most tokens a second are to be expected
/// of a step in which `generating` sequences go on.
///
/// `chances` are those of each sequence that a guessed token is right behind right ones; `most` of
/// all sequences together are guessed; `seconds` is what a step with so many rows takes.
pub fn gate(
    chances: &[Vec<f64>],
    generating: usize,
    most: usize,
    seconds: impl Fn(usize) -> f64,
) -> Vec<usize> {
    let mut guesses: Vec<Guess> = Vec::new();
    for (sequence, chances) in chances.iter().enumerate() {
        let all = chances.iter().scan(1.0, |all, chance| {
            *all *= chance;
            Some(Guess { sequence, chance: *all })
        });
        guesses.extend(all);
    }
    // A chance is never better than those before it, and equals keep their order: however many of
    // these are taken, they are the first of each sequence.
    guesses.sort_by(|a, b| b.chance.total_cmp(&a.chance));
    guesses.truncate(most);

    let mut expected = count(generating);
    let mut best = (0, expected / seconds(generating) * GAIN_MIN);
    for (taken, guess) in (1..).zip(&guesses) {
        expected += guess.chance;
        let rate = expected / seconds(generating + taken);
        if rate > best.1 {
            best = (taken, rate);
        }
    }
    let mut lengths = vec![0; chances.len()];
    for guess in guesses.iter().take(best.0) {
        if let Some(length) = lengths.get_mut(guess.sequence) {
            *length += 1;
        }
    }
    lengths
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Two cores that compute as long as they read: almost linear.
    fn busy(rows: usize) -> f64 {
        let points = [(1, 6.5), (2, 12.3), (4, 19.0), (8, 33.0), (17, 66.0), (40, 150.0)];
        between(&points, rows)
    }

    /// A larger model, whose weights take longer to read.
    fn reading(rows: usize) -> f64 {
        between(&[(1, 11.5), (2, 21.8), (4, 28.6), (8, 43.0), (16, 68.0), (40, 150.0)], rows)
    }

    fn between(points: &[(usize, f64)], rows: usize) -> f64 {
        let above = points.iter().position(|&(at, _)| at >= rows).unwrap();
        let ((a, low), (b, high)) = (points[above.saturating_sub(1)], points[above]);
        if b == rows { high } else { low + (high - low) * count(rows - a) / count(b - a) }
    }

    fn alone(chance: f64, seconds: impl Fn(usize) -> f64) -> usize {
        gate(&[vec![chance; 16]], 1, 16, seconds)[0]
    }

    #[test]
    fn a_text_that_quotes_gets_long_guesses_and_a_free_one_none() {
        for seconds in [busy, reading] {
            assert_eq!(alone(0.4, seconds), 0);
            assert_eq!(alone(0.7, seconds), 0);
            assert!(alone(0.98, seconds) >= 8, "{}", alone(0.98, seconds));
        }
        assert_eq!(gate(&[vec![]], 1, 16, busy), [0]);
    }

    #[test]
    fn where_rows_cost_nothing_much_is_guessed_and_where_they_cost_all_nothing() {
        assert_eq!(alone(0.4, |_| 10.0), 16);
        assert_eq!(alone(1.0, |rows| 10.0 * count(rows)), 0);
        // Some more rows are free until the cores are busy.
        let stairs = |rows| if rows <= 4 { 10.0 } else { 10.0 * count(rows) };
        assert_eq!(alone(0.5, stairs), 3);
    }

    #[test]
    fn who_is_likelier_to_be_right_gets_the_rows() {
        let chances = [vec![0.5; 8], vec![0.99; 8], vec![]];
        let stairs = |rows| if rows <= 11 { 10.0 } else { 100.0 };
        assert_eq!(gate(&chances, 3, 16, stairs), [0, 8, 0]);
        assert_eq!(gate(&chances, 3, 5, |_| 10.0), [0, 5, 0]);
        assert_eq!(gate(&[vec![1.0; 4], vec![1.0; 4]], 2, 6, |_| 10.0), [4, 2, 0][..2]);
    }

    #[test]
    fn those_who_generate_beside_count() {
        // Seven more rows than the machine has to spare.
        let stairs = |rows| if rows <= 8 { 10.0 } else { 10.0 + 8.0 * count(rows - 8) };
        assert_eq!(gate(&[vec![0.9; 16]], 1, 16, stairs), [7]);
        assert_eq!(gate(&[vec![0.9; 16]], 8, 16, stairs), [0]);
    }
}
