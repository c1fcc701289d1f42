//! A real server of S3 on loopback.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{LOOK_AGAIN, programs, soon};

/// A port is free when it is looked for, and may be taken a moment later.
const ATTEMPTS_MAX: usize = 3;

/// The server, with a folder of its own. Dropping it kills it.
#[derive(Debug)]
pub struct S3Server {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl S3Server {
    /// The one key that it knows.
    pub const ACCESS_KEY: &str = "AKTANDEM";
    /// Of that key.
    pub const SECRET_KEY: &str = "a secret/+= of tests";
    /// The one bucket that it has.
    pub const BUCKET: &str = "tandem-models";

    /// Starts one with an empty bucket, and waits until it serves.
    pub async fn start() -> Self {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(server) = Self::attempt().await {
                return server;
            }
        }
        panic!("the server of S3 ended {ATTEMPTS_MAX} times");
    }

    /// Starts one. `None` when it ends, as it does when somebody else took its port before it did.
    async fn attempt() -> Option<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(Self::BUCKET)).unwrap();
        let program = programs::required_file("TANDEM_TEST_S3_SERVER", "the program s3s-fs");
        let child = Command::new(program)
            .args(["--access-key", Self::ACCESS_KEY, "--secret-key", Self::SECRET_KEY])
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut server = Self { child, port, folder };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let serves = soon("S3 to serve", async {
            // Any answer will do: whoever does not sign is refused.
            while http.get(server.url()).send().await.is_err() {
                if server.child.try_wait().unwrap().is_some() {
                    return false;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            true
        });
        serves.await.then_some(server)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Puts an object into the bucket.
    pub fn put(&self, key: &str, content: &[u8]) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The file of an object.
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(Self::BUCKET).join(key)
    }
}
