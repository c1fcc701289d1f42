//! How long those who ask a worker wait for it, and how it follows the ladder.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

mod ladder;

/// Stands in for a worker whose engine never answers.
struct Silent;

impl Actor for Silent {
    type Msg = Message;
    type State = Vec<Message>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        (): (),
    ) -> std::result::Result<Vec<Message>, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        unanswered: &mut Vec<Message>,
    ) -> std::result::Result<(), ActorProcessingErr> {
        unanswered.push(message);
        Ok(())
    }
}

#[tokio::test]
async fn embeddings_are_waited_for_until_the_deadline_of_the_caller() {
    let (actor, ended) = Actor::spawn(None, Silent, ()).await.unwrap();
    let worker = Worker::new(Model::default(), [0; 32], Sampling::default(), Arc::default());
    worker.address.publish(actor.clone());
    let deadline = Instant::now() + Duration::from_millis(20);
    let late = worker.embed(vec!["a".to_owned()], true, deadline).await.unwrap_err();
    assert!(matches!(late, Error::DeadlineExceeded { .. }), "{late}");
    actor.stop(None);
    ended.await.unwrap();
}
