//! What tokens cost.

use tandem_config::Price;
use tandem_ledger::Tokens;

const MILLION: u128 = 1_000_000;

/// What a request with these tokens costs in millionths of the currency, rounded up; `None` when
/// nothing is known of the price.
pub(crate) fn cost(price: &Price, tokens: Tokens) -> Option<u64> {
    if !price.is_known() {
        return None;
    }
    let input = price.input_per_million.unwrap_or(0);
    let cached = tokens.cached.min(tokens.prompt);
    let parts = [
        (tokens.prompt - cached, input),
        (cached, price.cached_input_per_million.unwrap_or(input)),
        (tokens.completion, price.output_per_million.unwrap_or(0)),
    ];
    let by_token: u128 =
        parts.iter().map(|&(tokens, price)| u128::from(tokens) * u128::from(price)).sum();
    let by_token = u64::try_from(by_token.div_ceil(MILLION)).unwrap_or(u64::MAX);
    Some(by_token.saturating_add(price.per_request.unwrap_or(0)))
}

/// The most that a request can cost: nothing of its prompt is cached, or all of it where that is dearer.
pub(crate) fn worst(price: &Price, prompt: u64, completion: u64) -> Option<u64> {
    let with = |cached| cost(price, Tokens { prompt, cached, completion });
    with(0).max(with(prompt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price() -> Price {
        Price {
            input_per_million: Some(2_500_000),
            output_per_million: Some(10_000_000),
            cached_input_per_million: Some(250_000),
            per_request: Some(5),
        }
    }

    #[test]
    fn each_kind_of_token_has_its_price_and_the_sum_is_rounded_up() {
        let tokens = |prompt, cached, completion| Tokens { prompt, cached, completion };
        assert_eq!(cost(&price(), tokens(1_000_000, 0, 0)), Some(2_500_005));
        assert_eq!(cost(&price(), tokens(1_000_000, 1_000_000, 0)), Some(250_005));
        assert_eq!(cost(&price(), tokens(0, 0, 3)), Some(35));
        assert_eq!(cost(&price(), tokens(1, 0, 0)), Some(8));
        // An API that counts wrongly cannot make it negative.
        assert_eq!(cost(&price(), tokens(1, 9, 0)), Some(6));
        let without = Price { cached_input_per_million: None, ..price() };
        assert_eq!(cost(&without, tokens(2, 2, 0)), Some(10));
        assert_eq!(cost(&price(), tokens(u64::MAX, 0, u64::MAX)), Some(u64::MAX));
    }

    #[test]
    fn an_unknown_price_is_not_nothing() {
        let tokens = Tokens { prompt: 1, cached: 0, completion: 1 };
        assert_eq!(cost(&Price::default(), tokens), None);
        let free = Price { per_request: Some(0), ..Price::default() };
        assert_eq!(cost(&free, tokens), Some(0));
    }

    #[test]
    fn the_worst_case_is_never_below_what_it_comes_to() {
        let dear = Price { cached_input_per_million: Some(9_000_000), ..price() };
        for price in [price(), dear] {
            for cached in [0, 40, 100] {
                let came_to = cost(&price, Tokens { prompt: 100, cached, completion: 50 });
                assert!(came_to <= worst(&price, 100, 50));
            }
        }
    }
}
