//! What is known of the daemon at one moment.

use std::{collections::HashMap, time::Duration};

use tandem_client::{Client, v1};
use tokio::{join, time::timeout};

use crate::{context, failure::Failure};

/// How long the numbers about answers are waited for; the picture is complete without.
const STATS_DEADLINE: Duration = Duration::from_secs(1);

/// The daemon at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    pub(super) status: v1::StatusResponse,
    /// Tokens a second of all answers so far, by the model's id. Models that have not answered yet
    /// are not in it.
    pub(super) speeds: HashMap<String, f64>,
}

impl Reading {
    /// Asks the daemon.
    pub(super) async fn take(client: &Client) -> Result<Self, Failure> {
        let (status, speeds) = join!(context::status(client), speeds(client));
        Ok(Self { status: status?, speeds: speeds.unwrap_or_default() })
    }
}

async fn speeds(client: &Client) -> Option<HashMap<String, f64>> {
    let mut models = client.models();
    let stats = timeout(STATS_DEADLINE, models.stats(v1::ModelStatsRequest::default())).await;
    let speed = |stats: v1::ModelStats| {
        let speed = stats.answers?.decode_tokens_per_second;
        (speed > 0.0).then_some((stats.model?.id, speed))
    };
    Some(stats.ok()?.ok()?.into_inner().models.into_iter().filter_map(speed).collect())
}
