//! Verdicts on answers.

use tandem_proto::v1::{Feedback, FeedbackRequest, FeedbackResponse, Track, Verdict};

use super::{Answered, Recent};
use crate::memory_store::MemoryStore;
use crate::{Error, Result};

/// Longest comment in bytes.
const COMMENT_BYTES_MAX: usize = 2000;

/// Keeps a verdict.
///
/// [`Error::Invalid`] when there is none in the request, and when the turn is not known.
pub async fn take(
    request: FeedbackRequest,
    recent: &Recent,
    store: &MemoryStore,
) -> Result<FeedbackResponse> {
    if Verdict::try_from(request.verdict).unwrap_or_default() == Verdict::Unspecified {
        return Err(Error::invalid("verdict", "is neither up nor down; give one of both"));
    }
    let length = request.comment.len();
    if length > COMMENT_BYTES_MAX {
        let problem = format!("is {length} bytes long; at most {COMMENT_BYTES_MAX}");
        return Err(Error::invalid("comment", problem));
    }
    let turn = match recent.find(&request.turn_id) {
        Some(turn) => turn,
        None if request.turn_id.is_empty() => {
            let problem =
                "is empty, and nothing was answered since the daemon started; name a turn";
            return Err(Error::invalid("turn_id", problem));
        }
        None => stored(&request, store).await?,
    };
    let feedback = Feedback {
        turn_id: turn.turn_id.clone(),
        conversation_id: turn.conversation_id,
        verdict: request.verdict,
        comment: request.comment,
        slow: turn.slow,
        model: turn.model,
        private: turn.private,
        variants: turn.variants,
        created: None,
        prompt: String::new(),
    };
    store.record_feedback(feedback).await?;
    Ok(FeedbackResponse { turn_id: turn.turn_id })
}

/// A turn of an earlier life of the daemon. Its variants are not known any more.
async fn stored(request: &FeedbackRequest, store: &MemoryStore) -> Result<Answered> {
    let unknown = || {
        let problem = format!(
            "{:?} is not among the latest turns; give the conversation that it is in, too",
            request.turn_id
        );
        Error::invalid("turn_id", problem)
    };
    if request.conversation_id.is_empty() {
        return Err(unknown());
    }
    let turns = store.turns(&request.conversation_id).await?;
    let turn = turns.into_iter().find(|turn| turn.id == request.turn_id).ok_or_else(unknown)?;
    Ok(Answered {
        slow: turn.track() == Track::Slow,
        turn_id: turn.id,
        conversation_id: request.conversation_id.clone(),
        model: turn.model,
        private: turn.private,
        variants: Vec::new(),
    })
}
