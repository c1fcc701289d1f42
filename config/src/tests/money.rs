//! Prices and budgets.

use super::Home;
use crate::amount;

#[test]
fn amounts_are_exact_to_the_millionth_and_never_negative() {
    let config = Home::new(
        "[router.budget]\nday = 2\nmonth = 0.000001\ntarget = 19.99\n\
         [providers.x]\nbase_url = 'http://h'\nmodel = 'm'\nprice.output_per_million = 0.15\n",
    )
    .with("TANDEM_PROVIDERS__X__PRICE__INPUT_PER_MILLION", "3.25")
    .load()
    .unwrap();
    let budget = &config.router.budget;
    assert_eq!(
        (budget.day, budget.month, budget.target),
        (Some(2_000_000), Some(1), Some(19_990_000))
    );
    let price = &config.providers["x"].price;
    assert_eq!(
        (price.input_per_million, price.output_per_million),
        (Some(3_250_000), Some(150_000))
    );
    for amount in ["-1", "inf", "nan", "1000000001", "'5 dollars'"] {
        let problems = Home::new(&format!("router.budget.day = {amount}")).problems().join("");
        assert!(problems.contains("write an amount from 0"), "{amount}: {problems}");
    }
}

#[test]
fn a_budget_that_does_not_hold_is_warned_of() {
    let provider = "[providers.x]\nbase_url = 'http://h'\nmodel = 'm'\n";
    let warnings =
        |settings: &str| Home::new(&format!("{provider}{settings}")).load().unwrap().warnings();
    assert_eq!(warnings(""), Vec::<String>::new());
    for capped in ["budget_day = 1", "[router.budget]\nmonth = 1", "[router.budget]\ntarget = 1"] {
        let warned = warnings(capped).join("");
        assert!(warned.contains("providers.x has no price"), "{capped}: {warned}");
    }
    let half = warnings("price.input_per_million = 1").join("");
    assert!(half.contains("providers.x.price.output_per_million is not set"), "{half}");
    assert_eq!(warnings("price.per_request = 1"), Vec::<String>::new());
}

#[test]
fn amounts_read_well() {
    assert_eq!(amount(2_500_000, "USD"), "2.50 USD");
    assert_eq!(amount(19_999_999, "EUR"), "19.99 EUR");
    assert_eq!(amount(1_234, "USD"), "0.001234 USD");
    assert_eq!(amount(0, "USD"), "0.00 USD");
}
