//! Finds where prompt and answer have said before what they say now.

use std::collections::HashMap;

/// Tokens that must repeat.
const REPEATED_MIN: usize = 3;

/// Repeated tokens beyond which more of them are not told apart when looking.
const REPEATED_MAX: usize = 32;

/// Earlier places that are compared, the latest first.
const PLACES_MAX: usize = 8;

/// Ends a chain of places.
const NONE: u32 = u32::MAX;

/// An earlier place that reads like the end of the tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Index of the token that followed there, and may follow now.
    pub at: usize,
    /// Tokens before it that are those at the end.
    pub repeated: usize,
}

/// An index of the places where each three tokens occurred. Takes some 50 bytes a token.
#[derive(Debug, Default)]
pub struct Lookup {
    /// Index behind the last occurrence of each three tokens.
    latest: HashMap<[u32; REPEATED_MIN], u32>,
    /// For each index, the one behind the occurrence before of the three tokens in front of it.
    before: Vec<u32>,
    place: Option<Place>,
}

impl Lookup {
    /// Takes notice of what `tokens` have beyond what it knows of them. Tells `outcome` of each
    /// place whether the token that followed there did follow now.
    pub fn read(&mut self, tokens: &[u32], mut outcome: impl FnMut(Place, bool)) {
        for (at, &token) in tokens.iter().enumerate().skip(self.before.len()) {
            let place = self.place.take();
            let place = place.or_else(|| self.find(tokens.get(..at).unwrap_or_default()));
            if let Some(place) = place {
                let right = tokens.get(place.at) == Some(&token);
                outcome(place, right);
                self.place =
                    right.then_some(Place { at: place.at + 1, repeated: place.repeated + 1 });
            }
            let earlier = three_before(tokens, at)
                .and_then(|key| self.latest.insert(key, u32::try_from(at).unwrap_or(NONE)));
            self.before.push(earlier.unwrap_or(NONE));
        }
        self.place = self.place.or_else(|| self.find(tokens));
    }

    /// Where what follows now may be found.
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// What followed there. It may reach the end of the tokens, and goes on then with itself.
    pub fn following<'a>(&self, tokens: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        let start = self.place.map_or(tokens.len(), |place| place.at);
        tokens.get(start..).unwrap_or_default().iter().copied().cycle()
    }

    /// The place with most repeated tokens, the latest of several.
    fn find(&self, tokens: &[u32]) -> Option<Place> {
        let key = three_before(tokens, tokens.len())?;
        let first = self.latest.get(&key).copied();
        let chain = std::iter::successors(first, |&at| self.before.get(at as usize).copied());
        let mut best: Option<Place> = None;
        for at in chain.take_while(|&at| at != NONE).take(PLACES_MAX).map(|at| at as usize) {
            let earlier = tokens.get(..at).unwrap_or_default();
            let pairs = earlier.iter().rev().zip(tokens.iter().rev()).take(REPEATED_MAX);
            let repeated = pairs.take_while(|(then, now)| then == now).count();
            if best.is_none_or(|best| repeated > best.repeated) {
                best = Some(Place { at, repeated });
            }
        }
        best
    }
}

fn three_before(tokens: &[u32], at: usize) -> Option<[u32; REPEATED_MIN]> {
    tokens.get(at.checked_sub(REPEATED_MIN)?..at)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn tokens(text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    /// Reads `text` at once; the place and the eight tokens found there.
    fn found(text: &str) -> (Option<Place>, String) {
        let (mut lookup, tokens) = (Lookup::default(), tokens(text));
        lookup.read(&tokens, |_, _| {});
        let following = lookup.following(&tokens).take(8);
        let following = following.map(|token| char::from_u32(token).unwrap()).collect();
        (lookup.place(), following)
    }

    #[test]
    fn what_followed_the_longest_repetition_is_found() {
        let (place, following) = found("one brown fox. two browns. a brown f");
        assert_eq!(place, Some(Place { at: 11, repeated: 8 }));
        assert_eq!(following, "ox. two ");
    }

    #[test]
    fn the_latest_of_equals_is_found() {
        assert_eq!(found("abc1 abc2 abc").1.chars().next(), Some('2'));
    }

    #[test]
    fn fewer_than_three_tokens_repeat_nothing() {
        assert_eq!(found("xab yab"), (None, String::new()));
        assert_eq!(found("ab").0, None);
        assert_eq!(found("").0, None);
    }

    #[test]
    fn a_repetition_that_touches_the_end_goes_on_with_itself() {
        assert_eq!(found("-abcabc").1, "abcabcab");
        assert_eq!(found("aaaa").1, "aaaaaaaa");
    }

    #[test]
    fn a_place_is_followed_as_long_as_it_is_right() {
        let (mut lookup, tokens) = (Lookup::default(), tokens("abcdef-abcdxabc"));
        lookup.read(&tokens[..10], |_, _| {});
        assert_eq!(lookup.place(), Some(Place { at: 3, repeated: 3 }));
        let mut seen = Vec::new();
        for end in 11..=tokens.len() {
            lookup.read(&tokens[..end], |place, right| seen.push((place.at, right)));
        }
        assert_eq!(seen, [(3, true), (4, false)]);
        assert_eq!(lookup.place(), Some(Place { at: 10, repeated: 3 }));
    }

    #[test]
    fn reading_bit_by_bit_finds_what_reading_at_once_does() {
        let text = tokens("she sells sea shells by the sea shore, she sells sea shells");
        let mut lookup = Lookup::default();
        for end in 0..text.len() {
            lookup.read(&text[..end], |_, _| {});
            let mut whole = Lookup::default();
            whole.read(&text[..end], |_, _| {});
            assert_eq!(lookup.latest, whole.latest, "{end}");
            assert_eq!(lookup.before, whole.before, "{end}");
            assert_eq!(lookup.place, whole.place, "{end}");
        }
    }
}
