//! Who calls: the name that a program gives itself, else its process.

use std::sync::Arc;

use tandem_actors::router::CLIENT_BYTES_MAX;
use tonic::codegen::http::{Extensions, HeaderMap};
use tonic::transport::server::UdsConnectInfo;

/// The header in which a program may name itself, in any call.
const NAME_HEADER: &str = "tandem-client";
/// Who is called by nothing else.
const UNKNOWN: &str = "unknown";

/// A client. Every request has it among its extensions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Caller(Arc<str>);

impl Caller {
    /// The caller of a request that has just arrived.
    pub(super) fn identify(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let name = headers.get(NAME_HEADER).and_then(|name| name.to_str().ok());
        let name = name.filter(|name| (1..=CLIENT_BYTES_MAX).contains(&name.len()));
        let process = || {
            let peer = extensions.get::<UdsConnectInfo>()?.peer_cred?;
            let pid = peer.pid().map(|pid| format!(":{pid}")).unwrap_or_default();
            Some(format!("{}{pid}", peer.uid()))
        };
        let name = name.map(str::to_owned).or_else(process);
        Self(name.map_or_else(|| UNKNOWN.into(), Arc::from))
    }

    /// The caller of a request on its way to a service.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Self {
        let caller = request.extensions().get().cloned();
        caller.unwrap_or_else(|| Self(UNKNOWN.into()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tonic::transport::server::Connected as _;

    use super::*;

    fn headers(name: &str) -> HeaderMap {
        HeaderMap::from_iter([(NAME_HEADER.parse().unwrap(), name.parse().unwrap())])
    }

    #[tokio::test]
    async fn a_caller_is_known_by_its_name_and_else_by_its_process() {
        let (socket, _other) = tokio::net::UnixStream::pair().unwrap();
        let mut extensions = Extensions::new();
        extensions.insert(socket.connect_info());
        let named = Caller::identify(&headers("backup"), &extensions);
        assert_eq!(named.name(), "backup");
        for unusable in ["", &"x".repeat(CLIENT_BYTES_MAX + 1)] {
            let caller = Caller::identify(&headers(unusable), &extensions);
            assert!(caller.name().ends_with(&format!(":{}", std::process::id())), "{caller:?}");
        }
        let nobody = Caller::identify(&HeaderMap::new(), &Extensions::new());
        assert_eq!(nobody.name(), UNKNOWN);
    }
}
