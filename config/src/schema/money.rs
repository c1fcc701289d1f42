//! What providers charge and may cost.

use super::Visitor;
use crate::kind::{Amount, Optional, Text};
use crate::{Budget, Price};

pub(super) fn visit_budget(budget: &mut Budget, v: &mut impl Visitor) {
    v.setting(
        "currency",
        "of all prices and amounts; a name only, nothing is converted",
        &mut budget.currency,
        &Text(1..=8),
    );
    v.setting(
        "day",
        "most that all providers together may cost in a day (UTC)",
        &mut budget.day,
        &Optional(Amount, "2.5"),
    );
    v.setting(
        "month",
        "most that all providers together may cost in a month (UTC)",
        &mut budget.month,
        &Optional(Amount, "25"),
    );
    v.setting(
        "target",
        "what they shall cost in a month: slow_threshold is moved to spend that, and no more",
        &mut budget.target,
        &Optional(Amount, "20"),
    );
}

pub(super) fn visit_price(price: &mut Price, v: &mut impl Visitor) {
    for (key, what, slot, example) in [
        (
            "input_per_million",
            "price of a million tokens of prompt; without any price, costs count as 0",
            &mut price.input_per_million,
            "2.5",
        ),
        (
            "output_per_million",
            "price of a million tokens of answer",
            &mut price.output_per_million,
            "10",
        ),
        (
            "cached_input_per_million",
            "price of a million tokens of prompt that the API had cached; else as for others",
            &mut price.cached_input_per_million,
            "0.25",
        ),
        ("per_request", "price of a request, whatever its length", &mut price.per_request, "0.01"),
    ] {
        v.setting(key, what, slot, &Optional(Amount, example));
    }
}
