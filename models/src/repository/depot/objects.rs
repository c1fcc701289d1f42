//! Objects of a bucket of S3: putting and listing them.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action as _};

use crate::package::{Digest, Error};
use crate::pull::{self, Failure, Options, bucket, judge_status, patiently, plainly};

/// How long an address is good for; it is made anew for each request.
const SIGNED_FOR: Duration = Duration::from_secs(900);

/// The objects below a prefix.
pub(in crate::repository) struct Objects<'a> {
    bucket: Bucket,
    credentials: Option<Credentials>,
    prefix: String,
    client: &'a Client,
    options: &'a Options,
}

impl<'a> Objects<'a> {
    pub(super) fn new(
        name: &str,
        prefix: &str,
        client: &'a Client,
        options: &'a Options,
    ) -> Result<Self, Error> {
        let (bucket, credentials) = bucket(name, &options.s3)?;
        Ok(Self { bucket, credentials, prefix: prefix.to_owned(), client, options })
    }

    pub(super) async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let key = format!("{}{path}", self.prefix);
        let put = || {
            let action = self.bucket.put_object(self.credentials.as_ref(), &key);
            let request = self.client.put(action.sign(SIGNED_FOR)).body(bytes.clone());
            self.send(request, &key)
        };
        patiently(self.options, &self.name(&key), put).await?;
        Ok(())
    }

    /// The hashes that name objects somewhere below `path`.
    pub(super) async fn digests(&self, path: &str) -> Result<HashSet<Digest>, Error> {
        let prefix = format!("{}{path}", self.prefix);
        let (mut found, mut token) = (HashSet::new(), None::<String>);
        loop {
            let name = self.name(&prefix);
            let page = || self.page(&prefix, token.as_deref());
            let text = patiently(self.options, &name, page).await?.unwrap_or_default();
            let page =
                ListObjectsV2::parse_response(&text).map_err(|error| pull::Error::Refused {
                    from: name,
                    problem: format!("its list of objects cannot be read: {error}"),
                })?;
            let names = page.contents.iter().filter_map(|object| object.key.rsplit('/').next());
            found.extend(names.filter_map(|name| name.parse::<Digest>().ok()));
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// A page of the list of objects, in XML.
    async fn page(&self, prefix: &str, token: Option<&str>) -> Result<String, Failure> {
        let mut action = self.bucket.list_objects_v2(self.credentials.as_ref());
        action.with_prefix(prefix.to_owned());
        if let Some(token) = token {
            action.with_continuation_token(token.to_owned());
        }
        let url = action.sign(SIGNED_FOR);
        let response = self.send(self.client.get(url), prefix).await?;
        let bytes = response.bytes().await.map_err(|error| Failure::passing(plainly(error)))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn send(&self, request: RequestBuilder, key: &str) -> Result<Response, Failure> {
        let response = request.send().await;
        let response = response.map_err(|error| Failure::passing(plainly(error)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let advice = || "check keys, region and endpoint of S3, and that they may write".to_owned();
        Err(judge_status(&self.name(key), response.status(), response.headers(), advice))
    }

    fn name(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket.name())
    }
}
