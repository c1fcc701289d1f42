//! What `tandem.v1.Inference.Embed` does.

use tandem_actors::Error;
use tandem_actors::router::Class;
use tandem_proto::v1::{EmbedRequest, EmbedResponse, Usage};
use tokio::time::Instant;

use super::Daemon;
use super::caller::Caller;

const TEXTS_MAX: usize = 2048;
const BYTES_MAX: usize = 8 << 20;

impl Daemon {
    /// The embeddings of a request, which is checked first.
    pub(crate) async fn embeddings(
        &self,
        request: EmbedRequest,
        caller: &Caller,
        deadline: Instant,
    ) -> Result<EmbedResponse, Error> {
        let EmbedRequest { model, texts, normalize } = request;
        let bytes = check(&texts)?;
        // Held until the answer is there: a daemon that shall end waits for it.
        let _permit = self.tandem.router.admit(Class::Batch, caller.name(), bytes)?;
        self.tandem.monitor.let_compute()?;
        let (caches, loader) = (&self.tandem.caches, &self.tandem.loader);
        let normalize = normalize.unwrap_or(true);
        let made = caches.embed(loader, &model, texts, normalize, deadline).await?;
        Ok(EmbedResponse {
            model: made.model,
            embeddings: made.embeddings,
            usage: Some(Usage { prompt_tokens: made.tokens, ..Usage::default() }),
        })
    }
}

/// How many bytes there are, unless there are too many.
fn check(texts: &[String]) -> Result<usize, Error> {
    if texts.is_empty() || texts.len() > TEXTS_MAX {
        let problem = format!("are {}; give 1 to {TEXTS_MAX}", texts.len());
        return Err(Error::invalid("texts", problem));
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    if bytes > BYTES_MAX {
        let problem = format!("have {bytes} bytes in all, at most {BYTES_MAX}; send fewer at once");
        return Err(Error::invalid("texts", problem));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_without_texts_or_with_too_many_are_refused() {
        assert_eq!(check(&vec![String::new(); TEXTS_MAX]), Ok(0));
        assert_eq!(check(&["x".repeat(BYTES_MAX)]), Ok(BYTES_MAX));
        for texts in [
            Vec::new(),
            vec![String::new(); TEXTS_MAX + 1],
            vec!["x".repeat(BYTES_MAX), "x".to_owned()],
        ] {
            assert!(matches!(check(&texts), Err(Error::Invalid { field, .. }) if field == "texts"));
        }
    }
}
