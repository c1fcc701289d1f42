#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use tandem_config::ResponseCache;

use super::*;

/// Caches with their actor, whose end is waited for by [`Running::stop`].
struct Running {
    caches: Caches,
    actor: ActorRef<Message>,
    ended: ractor::concurrency::JoinHandle<()>,
}

impl Running {
    async fn start(data_dir: &Path, similarity: Option<f64>) -> Self {
        let response_cache =
            ResponseCache { enabled: true, similarity, ..ResponseCache::default() };
        let caches = Caches::new(&Memory { response_cache, ..Memory::default() });
        let arguments =
            Arguments { data_dir: data_dir.to_owned(), store_key: None, handle: caches.clone() };
        let (actor, ended) = Actor::spawn(None, CachesActor, arguments).await.unwrap();
        caches.stats().await.unwrap();
        Self { caches, actor, ended }
    }

    async fn stop(self) {
        self.actor.stop(None);
        self.ended.await.unwrap();
    }
}

fn kept(question: &str, scope: Digest, vector: Vec<f32>) -> Kept {
    Kept {
        text: format!("the answer to {question}"),
        question: question.to_owned(),
        scope: scope.to_vec(),
        vector,
        ..Kept::default()
    }
}

#[tokio::test]
async fn an_answer_is_given_again_to_the_same_question_also_by_the_next_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), None).await;
    let answer = kept("why", [1; 32], Vec::new());
    assert_eq!(running.caches.same(&[1; 32]).await, None);
    running.caches.keep_answer([1; 32], &answer);
    let stats = running.caches.stats().await.unwrap().remove(1);
    assert_eq!((stats.entries, stats.hits, stats.misses), (1, 0, 1));
    let (found, cached) = running.caches.same(&[1; 32]).await.unwrap();
    assert_eq!(found, answer);
    assert_eq!((cached.r#match(), cached.similarity), (tandem_proto::v1::CacheMatch::Exact, None));
    running.stop().await;

    let running = Running::start(folder.path(), None).await;
    assert_eq!(running.caches.same(&[1; 32]).await.unwrap().0, answer);
    running.stop().await;
}

#[tokio::test]
async fn a_question_in_other_words_gets_the_answer_when_vector_scope_and_words_agree() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), Some(0.9)).await;
    let caches = &running.caches;
    caches.keep_answer([1; 32], &kept("How do I sort a list?", [7; 32], vec![1.0, 0.0]));
    caches.stats().await.unwrap();
    let ask = |scope: u8, question: &str, vector: Vec<f32>| {
        caches.similar([scope; 32], question.to_owned(), vector)
    };
    let (found, cached) = ask(7, "how can I sort lists", vec![0.96, 0.28]).await.unwrap();
    assert_eq!(found.text, "the answer to How do I sort a list?");
    assert!((cached.similarity.unwrap() - 0.96).abs() < 1e-6);
    assert_eq!(ask(7, "how can I sort lists", vec![0.8, 0.6]).await, None, "it is too far away");
    assert_eq!(ask(8, "how can I sort lists", vec![1.0, 0.0]).await, None, "all else differs");
    assert_eq!(ask(7, "how can't I sort lists", vec![1.0, 0.0]).await, None, "the words differ");
    assert_eq!(caches.status()[1].semantic_hits, 1);
    running.stop().await;
}

#[tokio::test]
async fn each_cache_is_cleared_alone_or_with_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), None).await;
    let caches = &running.caches;
    let entries = |stats: Vec<CacheStats>| stats.iter().map(|it| it.entries).collect::<Vec<_>>();
    let fill = || {
        caches.keep(Which::Embeddings, vec![([1; 32], vec![1; 9]), ([2; 32], vec![2; 9])]);
        caches.keep_answer([1; 32], &kept("why", [1; 32], Vec::new()));
    };
    fill();
    assert_eq!(entries(caches.stats().await.unwrap()), [2, 1]);
    assert!(caches.clear(Some(Which::Answers)).await.unwrap() > 0);
    assert_eq!(entries(caches.status()), [2, 0]);
    fill();
    caches.clear(None).await.unwrap();
    assert_eq!(entries(caches.status()), [0, 0]);
    running.stop().await;
}

#[tokio::test]
async fn what_is_too_much_to_wait_is_not_kept_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), None).await;
    let bytes = (WAITING_KIB_MAX as usize) << 10;
    running.caches.keep(Which::Embeddings, vec![([1; 32], vec![0; bytes])]);
    let stats = running.caches.stats().await.unwrap().remove(0);
    assert_eq!((stats.entries, stats.failures), (0, 1));
    running.stop().await;
    // Nobody serves any more.
    let gone = Caches::new(&Memory::default());
    gone.keep(Which::Embeddings, vec![([1; 32], Vec::new())]);
    assert_eq!(gone.status()[0].failures, 1);
}
