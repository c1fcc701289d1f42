//! Another program that needs memory.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin};

use crate::{ControlGroup, program, soon};

/// A process that holds memory until it is told to leave.
#[derive(Debug)]
pub struct Hog {
    process: Child,
    stdin: ChildStdin,
}

impl Hog {
    /// Starts one in a group, and waits until it holds so many bytes.
    pub async fn holding(bytes: u64, group: &ControlGroup) -> Self {
        let mut command = group.command(&program("hog"));
        command.arg((bytes >> 20).to_string()).kill_on_drop(true);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut lines = BufReader::new(stdout).lines();
        let said = soon("a program to get its memory", lines.next_line()).await.unwrap();
        assert_eq!(said.as_deref(), Some("full"), "it was killed when it got its memory");
        Self { process, stdin }
    }

    /// Waits until it has given everything back.
    pub async fn leave(mut self) {
        drop(self.stdin);
        let status = soon("a program to give its memory back", self.process.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }
}
