//! A real server of Chroma on loopback.

use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{LOOK_AGAIN, programs, soon};

/// The server, with a folder of its own. Dropping it kills it.
#[derive(Debug)]
pub struct ChromaServer {
    child: Child,
    port: u16,
    folder: TempDir,
    http: reqwest::Client,
}

impl ChromaServer {
    /// Starts one that has nothing, and waits until it serves.
    pub async fn start() -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut server = Self { child: spawn(port, &folder), port, folder, http };
        server.until_serving().await;
        server
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it without a warning.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again with what it had, at the same port.
    pub async fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder);
        self.until_serving().await;
    }

    /// Names and ids of its collections.
    pub async fn collections(&self) -> Vec<(String, String)> {
        let all: Value = serde_json::from_slice(&self.get("").await).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        all.as_array().unwrap().iter().map(|it| (text(&it["name"]), text(&it["id"]))).collect()
    }

    /// How many vectors all of its collections have.
    pub async fn vectors(&self) -> u64 {
        let mut vectors = 0;
        for (_, id) in self.collections().await {
            let count = self.get(&format!("/{id}/count")).await;
            vectors += String::from_utf8(count).unwrap().parse::<u64>().unwrap();
        }
        vectors
    }

    /// Removes all of its collections.
    pub async fn empty(&self) {
        for (name, _) in self.collections().await {
            let removed = self.http.delete(self.address(&format!("/{name}"))).send();
            let removed = soon("a collection to be removed", removed).await.unwrap();
            assert!(removed.status().is_success(), "{removed:?}");
        }
    }

    async fn until_serving(&mut self) {
        let beat = format!("http://127.0.0.1:{}/api/v2/heartbeat", self.port);
        soon("Chroma to serve", async {
            while !self.http.get(&beat).send().await.is_ok_and(|it| it.status().is_success()) {
                assert_eq!(self.child.try_wait().unwrap(), None, "Chroma ended");
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    async fn get(&self, path: &str) -> Vec<u8> {
        let answer = soon("Chroma", self.http.get(self.address(path)).send()).await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        soon("Chroma", answer.bytes()).await.unwrap().into()
    }

    fn address(&self, path: &str) -> String {
        let all = "tenants/default_tenant/databases/default_database/collections";
        format!("http://127.0.0.1:{}/api/v2/{all}{path}", self.port)
    }
}

fn spawn(port: u16, folder: &TempDir) -> Child {
    Command::new(programs::required_file("TANDEM_TEST_CHROMA", "the program of Chroma"))
        .args(["run", "--host", "127.0.0.1", "--port", &port.to_string(), "--path"])
        .arg(folder.path())
        .env("ANONYMIZED_TELEMETRY", "False")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
