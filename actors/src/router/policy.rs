//! Which policy a question has: its own, else that of its conversation, of its client, or of the
//! settings.

use tandem_proto::v1::{AskRequest, Policy};

use crate::{Error, Result};

/// The policy of `request` in a conversation of the policy `conversation`; `variant` is that of an
/// experiment, in the place of the one in the settings.
pub(super) fn settle(
    request: &AskRequest,
    conversation: Policy,
    variant: Option<tandem_config::Policy>,
    config: &tandem_config::Router,
) -> Result<Policy> {
    let asked = request.policy();
    if conversation == Policy::Private && !matches!(asked, Policy::Unspecified | Policy::Private) {
        let problem = "is not private, but the conversation is, and all of it stays on this machine; \
                       leave the policy out or begin another conversation";
        return Err(Error::invalid("policy", problem));
    }
    let client = config.clients.get(&request.client).map(|&policy| of(policy));
    Ok([asked, conversation]
        .into_iter()
        .find(|policy| *policy != Policy::Unspecified)
        .or(client)
        .unwrap_or_else(|| of(variant.unwrap_or(config.policy))))
}

fn of(policy: tandem_config::Policy) -> Policy {
    match policy {
        tandem_config::Policy::Auto => Policy::Auto,
        tandem_config::Policy::Fast => Policy::Fast,
        tandem_config::Policy::Slow => Policy::Slow,
        tandem_config::Policy::Duo => Policy::Duo,
        tandem_config::Policy::Private => Policy::Private,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn settled(asked: Policy, conversation: Policy, client: &str) -> Result<Policy> {
        let config = tandem_config::Router {
            policy: tandem_config::Policy::Duo,
            clients: [("backup".to_owned(), tandem_config::Policy::Fast)].into(),
            ..tandem_config::Router::default()
        };
        let request =
            AskRequest { policy: asked.into(), client: client.to_owned(), ..AskRequest::default() };
        settle(&request, conversation, None, &config)
    }

    #[test]
    fn the_nearest_policy_counts() {
        let none = Policy::Unspecified;
        assert_eq!(settled(Policy::Slow, Policy::Auto, "backup").unwrap(), Policy::Slow);
        assert_eq!(settled(none, Policy::Auto, "backup").unwrap(), Policy::Auto);
        assert_eq!(settled(none, none, "backup").unwrap(), Policy::Fast);
        assert_eq!(settled(none, none, "unknown").unwrap(), Policy::Duo);
    }

    #[test]
    fn no_request_opens_a_private_conversation() {
        for asked in [Policy::Auto, Policy::Fast, Policy::Slow, Policy::Duo] {
            assert!(settled(asked, Policy::Private, "").is_err(), "{asked:?}");
        }
        for asked in [Policy::Unspecified, Policy::Private] {
            assert_eq!(settled(asked, Policy::Private, "").unwrap(), Policy::Private);
        }
    }
}
