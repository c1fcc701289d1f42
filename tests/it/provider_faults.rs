//! Remote APIs that fail in every way, in front of llama.cpp's own server: a question is answered
//! from another place or ends with a typed error, and nothing is left behind.

use std::collections::HashSet;
use std::sync::Arc;

use tandem_proto::error as reason;
use tandem_proto::v1::{AskRequest, Breaker, NoticeKind, Policy, ProviderStatus, Sampling, Track};
use tandem_tests::script::{Life, Script};
use tandem_tests::{
    Answer, Daemon, Fault, FaultProxy, LlamaServer, Setup, question, resident_bytes,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

const LOCAL: &str = "the local model has spoken";
/// A question to which there is no built-in reply.
const PROMPT: &str = "Why is the sky blue?";
const KEY: &str = "sk-fault-proxy-key";
const SECRET: &str = "xylophones";

fn asking(prompt: &str, policy: Policy, provider: &str) -> AskRequest {
    let sampling = Sampling { temperature: Some(0.0), max_tokens: Some(8), ..Sampling::default() };
    AskRequest {
        policy: policy.into(),
        provider: provider.to_owned(),
        sampling: Some(sampling),
        ..question(prompt)
    }
}

/// Settings of a provider at a port of loopback.
fn provider(name: &str, priority: u32, port: u16, more: &str) -> String {
    at(name, priority, &format!("http://127.0.0.1:{port}/v1"), more)
}

fn at(name: &str, priority: u32, base_url: &str, more: &str) -> String {
    format!(
        "[providers.{name}]\nbase_url = {base_url:?}\nmodel = \"{name}-model\"\n\
         priority = {priority}\n{more}\n"
    )
}

async fn start(config: &str) -> Daemon {
    let script = Script::always(Life::answering(LOCAL));
    Setup::scripted(&script).config(config).start().await
}

async fn status_of(daemon: &Daemon, name: &str) -> ProviderStatus {
    let providers = daemon.status().await.providers;
    providers.into_iter().find(|provider| provider.name == name).unwrap()
}

/// What a fault does to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// Nothing of an answer came: another place gives it.
    None,
    /// An answer had begun: it ends with an error.
    Half,
}

struct Case {
    fault: Fault,
    harm: Harm,
    /// Requests for the first question.
    requests: usize,
    /// The breaker after it, and the reason of the error when the provider is asked alone.
    breaker: Breaker,
    reason: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |fault, requests, breaker, reason| Case {
        fault,
        harm: Harm::None,
        requests,
        breaker,
        reason,
    };
    let failed = |fault, requests| case(fault, requests, Breaker::Closed, reason::PROVIDER_FAILED);
    let half = |fault| Case { harm: Harm::Half, ..failed(fault, 1) };
    let status = |status, headers| Fault::Status(status, headers, "");
    let body = |status, body| Fault::Status(status, "content-type: application/json\r\n", body);
    let refused = reason::PROVIDER_REFUSED;
    let exhausted = reason::PROVIDER_EXHAUSTED;
    vec![
        case(status("401 Unauthorized", ""), 1, Breaker::KeyRefused, refused),
        case(status("402 Payment Required", ""), 1, Breaker::Exhausted, exhausted),
        case(
            status("429 Too Many Requests", "retry-after: 3600\r\n"),
            1,
            Breaker::Exhausted,
            exhausted,
        ),
        case(
            body("429 Too Many Requests", r#"{"error":{"code":"insufficient_quota"}}"#),
            1,
            Breaker::Exhausted,
            exhausted,
        ),
        failed(status("429 Too Many Requests", ""), 3),
        failed(status("500 Internal Server Error", ""), 3),
        failed(status("503 Service Unavailable", "retry-after: 0\r\n"), 3),
        case(
            status("503 Service Unavailable", "retry-after: 600\r\n"),
            1,
            Breaker::Open,
            reason::PROVIDER_FAILED,
        ),
        failed(status("529 Overloaded", ""), 3),
        case(
            status("307 Temporary Redirect", "location: http://127.0.0.1:1/v1\r\n"),
            1,
            Breaker::Closed,
            refused,
        ),
        failed(Fault::Hang, 1),
        failed(Fault::Drip, 1),
        failed(Fault::Reset, 3),
        failed(Fault::CutBeforeTheFirstToken, 3),
        failed(Fault::Events(b"data: {nonsense\n\n"), 3),
        failed(Fault::Events(b"data: \xff\xfe\n\n"), 3),
        failed(Fault::HugeBody, 3),
        failed(Fault::HugeError, 3),
        half(Fault::HangInTheMiddle),
        half(Fault::CutInTheMiddle),
    ]
}

/// The question is `SECRET`, so that it can be looked for in the log.
async fn suffers(case: &Case, sound: &LlamaServer) {
    let fault = &case.fault;
    let planned = fault.clone();
    let proxy = FaultProxy::start(Some(sound.port()), move |_| planned.clone()).await;
    let limits = match fault {
        // Only they are to run into it: the others wait for a real model.
        Fault::Hang | Fault::Drip => "first_token_timeout = \"500ms\"",
        _ => "idle_timeout = \"2s\"",
    };
    let key = format!("{limits}\napi_key = {{ env = \"FAULTY_KEY\" }}");
    let config = format!(
        "[router]\nslow_threshold = 0.0\n{}{}",
        provider("faulty", 1, proxy.port(), &key),
        provider("sound", 2, sound.port(), ""),
    );
    let script = Script::always(Life::answering(LOCAL));
    let setup = Setup::scripted(&script).config(&config);
    let daemon = setup.environment("FAULTY_KEY", KEY).start().await;

    let answer = daemon.ask_with(asking(SECRET, Policy::Slow, "")).await;
    assert_eq!(proxy.sent().len(), case.requests, "{fault:?}: {answer:?}");
    match case.harm {
        Harm::None => {
            assert!(!answer.complete().is_empty(), "{fault:?}: {answer:?}");
            assert_eq!(answer.track_done().unwrap().model, "sound-model", "{fault:?}");
            let told = answer.notices(NoticeKind::Retried).len();
            assert_eq!(told, case.requests, "{fault:?}: each step is told: {answer:?}");
        }
        Harm::Half => is_half(&answer, fault),
    }
    let status = status_of(&daemon, "faulty").await;
    assert_eq!(status.breaker(), case.breaker, "{fault:?}: {status:?}");
    assert_eq!(status.retries + 1, case.requests as u64, "{fault:?}: {status:?}");

    // Named, so that no other provider may answer: the local model does, in place of half an answer.
    let answer = daemon.ask_with(asking(SECRET, Policy::Auto, "faulty")).await;
    assert!(answer.complete().ends_with(LOCAL), "{fault:?}: {answer:?}");
    assert_eq!(answer.done().unwrap().track(), Track::Fast, "{fault:?}: {answer:?}");
    let answer = daemon.ask_with(asking(SECRET, Policy::Slow, "faulty")).await;
    assert_eq!(answer.failure().reason, case.reason, "{fault:?}: {answer:?}");

    proxy.until_quiet().await;
    let sent = proxy.sent();
    let first = &sent[0].text;
    assert!(first.contains(KEY) && first.contains(SECRET), "{fault:?}: {first}");
    let log = daemon.log();
    assert!(!log.contains(KEY) && !log.contains(SECRET), "{fault:?}: {log}");
}

fn is_half(answer: &Answer, fault: &Fault) {
    assert!(!answer.text.is_empty(), "{fault:?}: {answer:?}");
    assert_eq!(answer.failure().reason, reason::PROVIDER_FAILED, "{fault:?}: {answer:?}");
    assert!(answer.notices(NoticeKind::Retried).is_empty(), "{fault:?}: {answer:?}");
}

#[tokio::test]
async fn each_fault_of_an_api_ends_with_an_answer_from_elsewhere_or_a_typed_error() {
    let sound = LlamaServer::remote().await;
    for case in &cases() {
        suffers(case, &sound).await;
    }
}

/// An address at which TLS is spoken, with a certificate that nobody vouches for.
async fn self_signed() -> (String, JoinSet<()>) {
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let signed = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key.into())
        .unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base_url = format!("https://{}/v1", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            assert!(acceptor.accept(stream).await.is_err(), "the certificate was trusted");
        }
    });
    (base_url, tasks)
}

#[tokio::test]
async fn hosts_that_cannot_be_reached_are_passed_over() {
    let proxy = FaultProxy::start(None, |_| Fault::None).await;
    let plain = format!("https://127.0.0.1:{}/v1", proxy.port());
    let (unknown, _tasks) = self_signed().await;
    for base_url in ["http://127.0.0.1:1/v1", "http://no-such-host.invalid/v1", &plain, &unknown] {
        let config =
            format!("{}{}", at("faulty", 1, base_url, ""), provider("sound", 2, proxy.port(), ""));
        let daemon = start(&config).await;
        let answer = daemon.ask_with(asking(PROMPT, Policy::Slow, "")).await;
        assert_eq!(answer.complete(), "far away", "{base_url}");
        let told = answer.notices(NoticeKind::Retried);
        assert!(told[0].contains("cannot connect to"), "{base_url}: {told:?}");
        let answer = daemon.ask_with(asking(PROMPT, Policy::Slow, "faulty")).await;
        assert_eq!(answer.failure().reason, reason::PROVIDER_FAILED, "{base_url}");
    }
}

#[tokio::test]
async fn an_api_that_fails_is_left_alone_and_taken_back_when_it_is_well() {
    let proxy = FaultProxy::start(None, |number| match number {
        0..5 => Fault::Status("500 Internal Server Error", "", ""),
        _ => Fault::None,
    })
    .await;
    let config = provider("far", 1, proxy.port(), "breaker_pause = \"2s\"");
    let daemon = start(&config).await;
    for _ in 0..2 {
        let answer = daemon.ask_with(asking(PROMPT, Policy::Slow, "")).await;
        assert_eq!(answer.failure().reason, reason::PROVIDER_FAILED);
    }
    assert_eq!(proxy.sent().len(), 5, "three requests, and two until the breaker opens");
    let status = status_of(&daemon, "far").await;
    assert_eq!(status.breaker_reason, "5 failures in a row", "{status:?}");
    let text = daemon.home().tandem(&["status"]).await.stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("5 failures in a row"), "{text}");

    daemon
        .until("the breaker to be half open", |status| {
            status.providers[0].breaker() == Breaker::HalfOpen
        })
        .await;
    let answer = daemon.ask_with(asking(PROMPT, Policy::Slow, "")).await;
    assert_eq!(answer.complete(), "far away");
    assert_eq!(status_of(&daemon, "far").await.breaker(), Breaker::Closed);
    assert_eq!(proxy.sent().len(), 6);
}

#[tokio::test]
async fn when_the_first_token_is_late_the_next_provider_is_asked_too_and_the_loser_is_closed() {
    let silent = FaultProxy::start(None, |_| Fault::Hang).await;
    let sound = FaultProxy::start(None, |_| Fault::None).await;
    let config = format!(
        "[router]\nhedge_after = \"50ms\"\n{}{}",
        provider("silent", 1, silent.port(), ""),
        provider("sound", 2, sound.port(), ""),
    );
    let daemon = start(&config).await;
    let answer = daemon.ask_with(asking(PROMPT, Policy::Slow, "")).await;
    assert_eq!(answer.complete(), "far away");
    assert_eq!(answer.track_done().unwrap().model, "sound-model");
    silent.until_quiet().await;
    assert_eq!((silent.sent().len(), sound.sent().len()), (1, 1));
    let status = status_of(&daemon, "sound").await;
    assert_eq!((status.hedges, status.retries), (1, 0), "{status:?}");
    let status = status_of(&daemon, "silent").await;
    assert_eq!((status.failures, status.breaker()), (0, Breaker::Closed), "{status:?}");
}

#[tokio::test]
async fn a_caller_who_leaves_closes_all_connections() {
    let [one, two] = [
        FaultProxy::start(None, |_| Fault::Hang).await,
        FaultProxy::start(None, |_| Fault::Hang).await,
    ];
    let config = format!(
        "[router]\nhedge_after = \"50ms\"\n{}{}",
        provider("one", 1, one.port(), ""),
        provider("two", 2, two.port(), ""),
    );
    let daemon = start(&config).await;
    let asked = daemon.begin(asking(PROMPT, Policy::Slow, "")).await;
    one.until_sent(1).await;
    two.until_sent(1).await;
    drop(asked);
    one.until_quiet().await;
    two.until_quiet().await;
}

/// Sockets and other files that a process has open, its threads, and its memory in bytes.
fn holdings(pid: u32) -> (usize, usize, u64) {
    let count = |what| std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    (count("fd"), count("task"), resident_bytes(pid))
}

#[tokio::test]
async fn after_a_thousand_faults_nothing_is_left_behind() {
    const FAULTS: usize = 1_000;
    const TOGETHER: usize = 32;
    // So that most questions are asked again and answered, and the breaker seldom opens.
    let plan = |number: usize| match number % 27 {
        0 => Fault::Status("500 Internal Server Error", "", "oops"),
        3 => Fault::Status("429 Too Many Requests", "", "slow down"),
        6 => Fault::Reset,
        9 => Fault::CutBeforeTheFirstToken,
        12 => Fault::CutInTheMiddle,
        15 => Fault::Events(b"data: {nonsense\n\n"),
        18 => Fault::Events(b"data: \xff\xfe\n\n"),
        21 => Fault::Hang,
        24 => Fault::HugeError,
        _ => Fault::None,
    };
    let proxy = FaultProxy::start(None, plan).await;
    let limits = "breaker_pause = \"10ms\"\nfirst_token_timeout = \"200ms\"";
    let config =
        format!("[router]\nslow_threshold = 0.0\n{}", provider("far", 1, proxy.port(), limits));
    let daemon = start(&config).await;
    let faults = || {
        let sent = 0..proxy.sent().len();
        sent.filter(|&number| !matches!(plan(number), Fault::None)).count()
    };
    let mut asked = 0;
    let mut before = None;
    while faults() < FAULTS {
        let batch = (0..TOGETHER).map(|number| {
            daemon.ask_with(asking(&format!("question {}.", asked + number), Policy::Auto, ""))
        });
        for answer in futures::future::join_all(batch).await {
            let text = answer.complete();
            assert!(text == "far away" || text.ends_with(LOCAL), "{answer:?}");
        }
        asked += TOGETHER;
        // What is set up once, such as engine, certificates and buffers, is there by then.
        if before.is_none() && faults() >= FAULTS / 5 {
            proxy.until_quiet().await;
            before = Some(holdings(daemon.pid()));
        }
    }
    proxy.until_quiet().await;
    let status =
        daemon.until("all requests to be over", |status| status.providers[0].in_flight == 0).await;
    let (before, after) = (before.unwrap(), holdings(daemon.pid()));
    assert!(after.0 <= before.0 + TOGETHER, "files: {before:?}, then {after:?}");
    assert!(after.1 <= before.1 + TOGETHER, "threads: {before:?}, then {after:?}");
    assert!(after.2 <= before.2 + (16 << 20), "memory: {before:?}, then {after:?}");
    assert_eq!(status.admission.as_ref().unwrap().running, 0);

    // Who has begun to answer is not sent the question again: it would be paid twice.
    let mut answered = HashSet::new();
    for sent in proxy.sent() {
        let start = sent.text.find("question ").unwrap();
        let prompt = sent.text[start..].split_once('.').unwrap().0.to_owned();
        assert!(!answered.contains(&prompt), "{prompt} was sent again after its first token");
        if sent.answered {
            answered.insert(prompt);
        }
    }
    assert!(answered.len() > FAULTS, "{} were answered", answered.len());
}
