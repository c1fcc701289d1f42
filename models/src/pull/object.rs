//! Small files as a whole, and asking again.

use reqwest::Client;

use super::error::Failure;
use super::remote::Remote;
use super::{Error, Options};
use crate::Source;

/// Tries until it succeeds or is not worth it any more. `None` when there is nothing to be had, as
/// the file is empty or not what it was.
pub(crate) async fn patiently<T, R: Future<Output = Result<T, Failure>>>(
    options: &Options,
    from: &str,
    attempt: impl Fn() -> R,
) -> Result<Option<T>, Error> {
    let mut failures = 0;
    loop {
        let (problem, asked) = match attempt().await {
            Ok(outcome) => return Ok(Some(outcome)),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Changed | Failure::Unranged) => return Ok(None),
            Err(Failure::Passing { problem, pause }) => (problem, pause),
        };
        failures += 1;
        let Some(pause) = options.retry.pause(failures, asked, (options.random)()) else {
            return Err(Error::Unreachable { from: from.to_owned(), problem });
        };
        tokio::time::sleep(pause).await;
    }
}

/// Reads a file of at most so many bytes; `None` when there is none.
pub(crate) async fn read_object(
    client: &Client,
    source: &Source,
    bytes_max: u64,
    options: &Options,
) -> Result<Option<Vec<u8>>, Error> {
    let remote = Remote::over(client.clone(), source, options)?;
    let from = &remote.name;
    match patiently(options, from, || whole(&remote, bytes_max)).await {
        Err(Error::NotThere { .. }) => Ok(None),
        Ok(None) => Ok(Some(Vec::new())),
        read => read,
    }
}

/// One attempt.
pub(super) async fn whole(remote: &Remote, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut body = remote.open(&(0..bytes_max.saturating_add(1)), None).await?.body;
    let mut bytes = Vec::new();
    while body.append_to(&mut bytes).await?.is_some() {
        if bytes.len() as u64 > bytes_max {
            let problem = format!("it is larger than the {bytes_max} bytes that it may have");
            return Err(Error::Refused { from: remote.name.clone(), problem }.into());
        }
    }
    Ok(bytes)
}
