//! What providers charge and may cost.

/// What the slow track may cost. Amounts are in millionths of the currency; days and months are those of
/// UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Of all prices and amounts.
    pub currency: String,
    /// Most that all providers together may cost in a day.
    pub day: Option<u64>,
    /// Most that all providers together may cost in a month.
    pub month: Option<u64>,
    /// What they shall cost in a month: the threshold of the slow track follows it.
    pub target: Option<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { currency: "USD".into(), day: None, month: None, target: None }
    }
}

/// What a provider charges, in millionths of the currency. Without any of these its price is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Price {
    /// For a million tokens of prompt.
    pub input_per_million: Option<u64>,
    /// For a million tokens of answer.
    pub output_per_million: Option<u64>,
    /// For a million tokens of prompt that it had cached; when absent, as for others.
    pub cached_input_per_million: Option<u64>,
    /// For a request, whatever its length.
    pub per_request: Option<u64>,
}

impl Price {
    /// Whether anything is known about the price.
    pub fn is_known(&self) -> bool {
        self != &Self::default()
    }
}

/// An amount in millionths for a person: `0.05 USD`, and as many digits as a small one needs.
pub fn amount(micros: u64, currency: &str) -> String {
    let (whole, fraction) = (micros / 1_000_000, format!("{:06}", micros % 1_000_000));
    let needed = fraction.trim_end_matches('0').len();
    // Cents are enough where there are any.
    let digits = if micros >= 10_000 { 2 } else { needed.max(2) };
    format!("{whole}.{} {currency}", fraction.get(..digits).unwrap_or_default())
}
