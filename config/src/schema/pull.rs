//! How models are fetched.

use super::Visitor;
use crate::Pull;
use crate::kind::{Address, Integer, Optional, SecretPlace, Size, Text};

pub(super) fn visit_pull(pull: &mut Pull, v: &mut impl Visitor) {
    v.setting("parallel", "connections that fetch a model", &mut pull.parallel, &Integer(1..=8));
    v.setting(
        "bandwidth",
        "most bytes a second of all pulls together; else as many as come",
        &mut pull.bandwidth,
        &Optional(Size(1 << 10..=1 << 40), "\"2MiB\""),
    );
    v.setting(
        "hf_endpoint",
        "address of the Hugging Face hub or a mirror; else HF_ENDPOINT, else the hub's",
        &mut pull.hf_endpoint,
        &Optional(Address, "\"https://huggingface.co\""),
    );
    v.setting(
        "hf_token",
        "where the hub's token is kept, for models whose licence is to be accepted",
        &mut pull.hf_token,
        &Optional(SecretPlace, "{ env = \"HF_TOKEN\" }"),
    );
    v.setting(
        "s3_endpoint",
        "address of an S3 server; else AWS_ENDPOINT_URL, else that of AWS",
        &mut pull.s3_endpoint,
        &Optional(Address, "\"https://s3.example.com\""),
    );
    v.setting(
        "s3_region",
        "region of S3; else AWS_REGION, else us-east-1",
        &mut pull.s3_region,
        &Optional(Text(1..=64), "\"eu-central-1\""),
    );
    v.setting(
        "s3_access_key",
        "where the access key of S3 is kept; else AWS_ACCESS_KEY_ID",
        &mut pull.s3_access_key,
        &Optional(SecretPlace, "{ env = \"NAME\" }"),
    );
    v.setting(
        "s3_secret_key",
        "where the secret key of S3 is kept; else AWS_SECRET_ACCESS_KEY",
        &mut pull.s3_secret_key,
        &Optional(SecretPlace, "{ env = \"NAME\" }"),
    );
}
