//! Settings of one provider.

use std::time::Duration;

use super::money::visit_price;
use super::{DAY, TIMEOUT, TOKENS_MAX, Visitor};
use crate::{
    Ability, Provider, ProviderKind,
    kind::{Address, Amount, AnyOf, Integer, OneOf, Optional, SecretPlace, Text, Time},
};

const PROVIDER_KINDS: OneOf<ProviderKind> = OneOf(&[
    ("openai", ProviderKind::OpenAi),
    ("anthropic", ProviderKind::Anthropic),
    ("huggingface", ProviderKind::HuggingFace),
    ("ollama", ProviderKind::Ollama),
]);
const ABILITIES: AnyOf<Ability> =
    AnyOf(&[("vision", Ability::Vision), ("tools", Ability::Tools), ("json", Ability::Json)]);

/// Shows `visitor` every setting of one provider.
pub(crate) fn visit_provider(provider: &mut Provider, v: &mut impl Visitor) {
    v.setting(
        "kind",
        "what the API speaks: openai, anthropic, huggingface or ollama",
        &mut provider.kind,
        &PROVIDER_KINDS,
    );
    v.setting(
        "base_url",
        "address of the API; when kind is set, the kind's own may be left out",
        &mut provider.base_url,
        &Address,
    );
    v.required("model", "name of the model at that API", &mut provider.model, &Text(1..=256));
    v.setting(
        "api_key",
        "where the key is kept: { env = … }, { file = … } or { keyring = … }",
        &mut provider.api_key,
        &Optional(SecretPlace, "{ env = \"NAME\" }"),
    );
    v.setting(
        "connect_timeout",
        "longest time to connect",
        &mut provider.connect_timeout,
        &Time(TIMEOUT),
    );
    v.setting(
        "first_token_timeout",
        "longest time from the request to the first token",
        &mut provider.first_token_timeout,
        &Time(TIMEOUT),
    );
    v.setting(
        "idle_timeout",
        "longest time between two tokens",
        &mut provider.idle_timeout,
        &Time(TIMEOUT),
    );
    v.setting(
        "total_timeout",
        "longest time for one answer",
        &mut provider.total_timeout,
        &Time(TIMEOUT),
    );
    v.setting(
        "context_tokens",
        "context of the remote model, in tokens",
        &mut provider.context_tokens,
        &Integer(256..=TOKENS_MAX),
    );
    v.setting(
        "max_tokens",
        "longest answer, in tokens",
        &mut provider.max_tokens,
        &Integer(1..=TOKENS_MAX),
    );
    v.setting(
        "concurrency_max",
        "requests under way together",
        &mut provider.concurrency_max,
        &Integer(1..=1024),
    );
    visit_choice(provider, v);
    v.table("price", |v| visit_price(&mut provider.price, v));
}

/// When it is asked, for what, and for how much.
fn visit_choice(provider: &mut Provider, v: &mut impl Visitor) {
    v.setting(
        "priority",
        "its place if router.providers is \"ordered\"; the lowest is asked first",
        &mut provider.priority,
        &Integer(0..=1000),
    );
    v.setting(
        "weight",
        "how often it is asked first if that is \"weighted\"; 0 only in need",
        &mut provider.weight,
        &Integer(0..=1000),
    );
    v.setting(
        "breaker_pause",
        "how long it is left alone when it fails; up to ten times that if it goes on",
        &mut provider.breaker_pause,
        &Time(TIMEOUT),
    );
    v.setting(
        "abilities",
        "what the model can do: vision, tools, json",
        &mut provider.abilities,
        &Optional(ABILITIES, "[\"vision\", \"tools\", \"json\"]"),
    );
    v.setting(
        "keep_alive",
        "how long Ollama keeps the model loaded; for kind ollama only",
        &mut provider.keep_alive,
        &Optional(Time(Duration::ZERO..=365 * DAY), "\"5m\""),
    );
    v.setting(
        "budget_day",
        "most that it may cost in a day (UTC)",
        &mut provider.budget_day,
        &Optional(Amount, "1"),
    );
    v.setting(
        "budget_month",
        "most that it may cost in a month (UTC)",
        &mut provider.budget_month,
        &Optional(Amount, "10"),
    );
}
