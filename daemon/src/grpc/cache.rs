//! `tandem.v1.Cache`: what is kept so that it need not be computed or asked again.

use tandem_actors::Error;
use tandem_actors::cache::Which;
use tandem_proto::v1::cache_server::Cache;
use tandem_proto::v1::{
    CacheStatsRequest, CacheStatsResponse, ClearCacheRequest, ClearCacheResponse,
};
use tonic::{Request, Response, Status};

use super::{Daemon, status};

#[tonic::async_trait]
impl Cache for Daemon {
    async fn stats(
        &self,
        _: Request<CacheStatsRequest>,
    ) -> Result<Response<CacheStatsResponse>, Status> {
        let caches = self.tandem.caches.stats().await.map_err(status::of)?;
        Ok(Response::new(CacheStatsResponse { caches }))
    }

    async fn clear(
        &self,
        request: Request<ClearCacheRequest>,
    ) -> Result<Response<ClearCacheResponse>, Status> {
        let which = which(&request.into_inner().name).map_err(status::of)?;
        let bytes = self.tandem.caches.clear(which).await.map_err(status::of)?;
        Ok(Response::new(ClearCacheResponse { bytes }))
    }
}

/// The cache of this name; none in particular, if it is empty.
fn which(name: &str) -> Result<Option<Which>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    let found = Which::ALL.into_iter().find(|which| which.name() == name);
    found.map(Some).ok_or_else(|| {
        let names = Which::ALL.map(Which::name).join(" and ");
        Error::invalid("name", format!("is no cache; there are {names}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_have_names_and_no_name_means_all_of_them() {
        assert_eq!(which(""), Ok(None));
        assert_eq!(which("answers"), Ok(Some(Which::Answers)));
        let unknown = which("replies").map_err(|error| error.to_string());
        assert!(unknown.is_err_and(|problem| problem.contains("embeddings and answers")));
    }
}
