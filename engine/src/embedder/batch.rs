//! Which texts go into the next batch.

use std::collections::VecDeque;

use super::request::Request;

/// What one batch can hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Tokens, at least as many as one text can have.
    pub tokens: usize,
    /// Texts, at least one.
    pub texts: usize,
}

/// A text in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of the request.
    pub request: usize,
    /// Index of the text in it.
    pub text: usize,
}

/// Takes texts for one batch: of the requests in their order, of each the longest that fit.
pub fn pack(requests: &mut VecDeque<Request>, limits: Limits) -> Vec<Place> {
    let mut places = Vec::new();
    let mut room = limits.tokens;
    for (at, request) in requests.iter_mut().enumerate() {
        while places.len() < limits.texts
            && let Some(text) = request.take_longest(room)
        {
            room -= request.tokens(text).len();
            places.push(Place { request: at, text });
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::request;
    use super::*;

    fn lengths(requests: &VecDeque<Request>, places: &[Place]) -> Vec<usize> {
        places.iter().map(|place| requests[place.request].tokens(place.text).len()).collect()
    }

    #[test]
    fn the_longest_texts_go_first_and_short_ones_fill_the_gaps() {
        let mut requests = VecDeque::from([request(&[2, 9, 4, 1])]);
        let limits = Limits { tokens: 12, texts: 8 };
        let places = pack(&mut requests, limits);
        assert_eq!(lengths(&requests, &places), [9, 2, 1]);
        let places = pack(&mut requests, limits);
        assert_eq!(lengths(&requests, &places), [4]);
        assert_eq!(pack(&mut requests, limits), []);
    }

    #[test]
    fn requests_share_a_batch() {
        let mut requests = VecDeque::from([request(&[6]), request(&[9, 3])]);
        let places = pack(&mut requests, Limits { tokens: 10, texts: 8 });
        assert_eq!(places, [Place { request: 0, text: 0 }, Place { request: 1, text: 1 }]);
    }

    #[test]
    fn no_batch_passes_a_limit_and_every_text_is_taken_once() {
        let all: Vec<usize> = (0..500).map(|n| n * 37 % 64 + 1).collect();
        let mut requests = VecDeque::from([request(&all[..200]), request(&all[200..])]);
        let limits = Limits { tokens: 64, texts: 5 };
        let mut taken = Vec::new();
        loop {
            let places = pack(&mut requests, limits);
            if places.is_empty() {
                break;
            }
            let lengths = lengths(&requests, &places);
            assert!(lengths.len() <= limits.texts, "{lengths:?}");
            assert!(lengths.iter().sum::<usize>() <= limits.tokens, "{lengths:?}");
            taken.extend(places.iter().map(|place| (place.request, place.text)));
        }
        taken.sort_unstable();
        let expected: Vec<_> = (0..200).map(|n| (0, n)).chain((0..300).map(|n| (1, n))).collect();
        assert_eq!(taken, expected);
    }
}
