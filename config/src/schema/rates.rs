//! Settings of how often one client may call what.

use super::Visitor;
use crate::Rates;
use crate::kind::{Each, Integer};

/// A method, or all of them, called by one client.
const PER_MINUTE: Integer<u32> = Integer(0..=1_000_000);

pub(super) fn visit_rates(rates: &mut Rates, v: &mut impl Visitor) {
    v.setting(
        "default_per_minute",
        "calls of one method that one client may make in a minute; 0 is as many as it likes",
        &mut rates.default_per_minute,
        &PER_MINUTE,
    );
    v.setting(
        "methods",
        "the same for some methods, by service and name",
        &mut rates.methods,
        &Each(PER_MINUTE, "{ \"Assistant/Ask\" = 60 }"),
    );
}
