//! A real remote API: llama.cpp's own server on loopback.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::SemaphorePermit;

use crate::{Home, LOOK_AGAIN, programs, soon, wait_for_a_turn};

/// A server with the real model; dropping it kills it.
#[derive(Debug)]
pub struct LlamaServer {
    child: Child,
    port: u16,
    _turn: SemaphorePermit<'static>,
}

impl LlamaServer {
    /// Starts one with the model that the fast track has, too, and waits until it serves.
    pub async fn start() -> Self {
        Self::start_with(Home::real_model(), &[]).await
    }

    /// Starts one with another model where `TANDEM_TEST_REMOTE_MODEL` names one.
    pub async fn remote() -> Self {
        let model = std::env::var_os("TANDEM_TEST_REMOTE_MODEL");
        Self::start_with(model.map_or_else(Home::real_model, PathBuf::from), &[]).await
    }

    /// Starts one whose model reads tools and is told so by its template, and always takes the
    /// likeliest token.
    pub async fn start_with_tools() -> Self {
        let template = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/tools.jinja");
        let arguments = ["--jinja", "--chat-template-file", template, "--temp", "0"];
        Self::start_with(Home::real_model(), &arguments).await
    }

    async fn start_with(model: PathBuf, arguments: &[&str]) -> Self {
        let binary = programs::required_file("TANDEM_TEST_LLAMA_SERVER", "llama.cpp's server");
        let turn = wait_for_a_turn().await;
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let child = Command::new(binary)
            .arg("--model")
            .arg(model)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--ctx-size", "2048", "--parallel", "1", "--threads", "2"])
            .args(arguments)
            .env("OMP_WAIT_POLICY", "PASSIVE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut server = Self { child, port, _turn: turn };
        soon("llama-server to serve", async {
            while !server.is_healthy().await {
                assert_eq!(server.child.try_wait().unwrap(), None, "llama-server ended");
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
        server
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Settings under which it is the provider "remote".
    pub fn provider(&self) -> String {
        let port = self.port;
        format!(
            "[providers.remote]\nbase_url = \"http://127.0.0.1:{port}/v1\"\nmodel = \"smollm2\"\n"
        )
    }

    /// Settings under which it is the provider "claude" that speaks as Anthropic does.
    pub fn claude(&self) -> String {
        let port = self.port;
        format!(
            "[providers.claude]\nkind = \"anthropic\"\n\
             base_url = \"http://127.0.0.1:{port}/v1\"\nmodel = \"smollm2\"\n"
        )
    }

    /// Kills it and waits until it is gone.
    pub async fn stop(&mut self) {
        self.child.kill().await.unwrap();
    }

    async fn is_healthy(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)).await else {
            return false;
        };
        let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let mut answer = Vec::new();
        stream.write_all(request.as_bytes()).await.is_ok()
            && stream.read_to_end(&mut answer).await.is_ok()
            && answer.starts_with(b"HTTP/1.1 200")
    }
}
