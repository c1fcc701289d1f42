//! How models are fetched.

use crate::Secret;

/// How models are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Connections of one pull.
    pub parallel: u32,
    /// Most bytes a second of all pulls together; when absent, as many as come.
    pub bandwidth: Option<u64>,
    /// Address of the Hugging Face hub or of a mirror; when absent, `HF_ENDPOINT`, else the hub's.
    pub hf_endpoint: Option<String>,
    /// Where the token for models that are not open to everybody is kept.
    pub hf_token: Option<Secret>,
    /// Address of an S3 server; when absent, `AWS_ENDPOINT_URL`, else that of AWS in the region.
    pub s3_endpoint: Option<String>,
    /// Region of S3; when absent, `AWS_REGION`, else us-east-1.
    pub s3_region: Option<String>,
    /// Where the access key of S3 is kept; when absent, `AWS_ACCESS_KEY_ID`.
    pub s3_access_key: Option<Secret>,
    /// Where the secret key of S3 is kept; when absent, `AWS_SECRET_ACCESS_KEY`.
    pub s3_secret_key: Option<Secret>,
}

impl Default for Pull {
    fn default() -> Self {
        Self {
            parallel: 4,
            bandwidth: None,
            hf_endpoint: None,
            hf_token: None,
            s3_endpoint: None,
            s3_region: None,
            s3_access_key: None,
            s3_secret_key: None,
        }
    }
}
