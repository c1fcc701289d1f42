//! Settings about personal data and the key of what is kept.

use super::Visitor;
use crate::{
    PersonalData, Redact, Security,
    kind::{AnyOf, OneOf, Optional, SecretPlace, Texts},
};

const REDACT: OneOf<Redact> =
    OneOf(&[("mask", Redact::Mask), ("local", Redact::Local), ("off", Redact::Off)]);
const KINDS: AnyOf<PersonalData> = AnyOf(&[
    ("secret", PersonalData::Secret),
    ("email", PersonalData::Email),
    ("iban", PersonalData::Iban),
    ("card", PersonalData::Card),
    ("national_id", PersonalData::NationalId),
    ("phone", PersonalData::Phone),
    ("ip", PersonalData::Ip),
    ("name", PersonalData::Name),
]);

pub(super) fn visit_security(security: &mut Security, v: &mut impl Visitor) {
    v.setting(
        "redact",
        "personal data that would leave the machine: mask it, keep the question local, or off",
        &mut security.redact,
        &REDACT,
    );
    v.setting(
        "redact_kinds",
        "kinds that are looked for; there is also ip",
        &mut security.redact_kinds,
        &KINDS,
    );
    v.setting(
        "names",
        "names and other words that are looked for, in any case",
        &mut security.names,
        &Texts { count_max: 1000, bytes: 2..=100 },
    );
    v.setting(
        "store_key",
        "key of what is encrypted on this machine; else a file made in the data folder",
        &mut security.store_key,
        &Optional(SecretPlace, "{ env = \"TANDEM_STORE_KEY\" }"),
    );
}
