//! The picture of the daemon: in a terminal, and where there is none.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStringExt as _, process::ExitStatusExt as _},
    },
    process::{ExitStatus, Stdio},
    thread,
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Termios, Winsize, tcgetattr, tcsetwinsize},
};
use serde_json::json;
use tokio::{process::Child, sync::mpsc, time::timeout};

use crate::{DEADLINE, run, server::Server, tandem};

/// What gives the terminal back as it was.
const LEAVES: &str = "\u{1b}[?1049l";

/// A terminal with `tandem top` in it.
struct Terminal {
    keys: File,
    output: mpsc::UnboundedReceiver<Vec<u8>>,
    /// What was shown and not looked at yet.
    shown: String,
    screen: OwnedFd,
    before: Termios,
    child: Child,
}

impl Terminal {
    fn open(server: &Server) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let path = std::ffi::OsString::from_vec(ptsname(&keys, Vec::new()).unwrap().into_bytes());
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let screen = rustix::fs::open(path, flags, Mode::empty()).unwrap();
        tcsetwinsize(&screen, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 })
            .unwrap();
        let before = tcgetattr(&screen).unwrap();
        let stream = || Stdio::from(screen.try_clone().unwrap());
        let mut command = tandem(server, &["top"]);
        let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        let keys = File::from(keys);
        let mut reader = keys.try_clone().unwrap();
        let (sender, output) = mpsc::unbounded_channel();
        // Reading blocks, and ends with the terminal.
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut piece) {
                if sender.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keys, output, shown: String::new(), screen, before, child }
    }

    /// Waits until it shows a text, after what was waited for before. Cells that stay as they were are
    /// not written again, so that a text is best one word.
    async fn until(&mut self, text: &str) {
        while !self.shown.contains(text) {
            let piece = timeout(DEADLINE, self.output.recv()).await;
            let piece = piece.unwrap_or_else(|_| unreachable!("no {text:?} in {}", self.shown));
            self.shown += &String::from_utf8_lossy(&piece.unwrap());
        }
        let end = self.shown.find(text).unwrap() + text.len();
        self.shown.drain(..end);
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end. The terminal is as it was before.
    async fn ended(mut self) -> ExitStatus {
        self.until(LEAVES).await;
        let status = timeout(DEADLINE, self.child.wait()).await.unwrap().unwrap();
        let after = tcgetattr(&self.screen).unwrap();
        assert_eq!(after.local_modes, self.before.local_modes);
        assert_eq!(after.input_modes, self.before.input_modes);
        status
    }
}

#[tokio::test]
async fn keys_move_the_picture_and_the_terminal_is_given_back() {
    let server = Server::start();
    let mut terminal = Terminal::open(&server);
    terminal.until("▸machine").await;
    terminal.press("\t");
    terminal.until("▸ladder").await;
    terminal.press("?");
    terminal.until("hold").await;
    terminal.press("q");
    assert_eq!(terminal.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_signal_gives_the_terminal_back_too() {
    let server = Server::start();
    let mut terminal = Terminal::open(&server);
    terminal.until("▸machine").await;
    let pid = Pid::from_raw(i32::try_from(terminal.child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = terminal.ended().await;
    assert_eq!((status.code(), status.signal()), (Some(0), None));
}

#[tokio::test]
async fn a_daemon_that_is_lost_is_said_and_found_again() {
    let mut server = Server::start();
    let mut terminal = Terminal::open(&server);
    terminal.until("pid 1").await;
    server.kill();
    terminal.until("no answer").await;
    server.revive();
    terminal.until("pid 1").await;
    terminal.press("\u{3}");
    assert_eq!(terminal.ended().await.code(), Some(0));
}

#[tokio::test]
async fn without_a_terminal_one_frame_is_printed_or_the_status_as_json() {
    let server = Server::start();
    for arguments in [&["top"][..], &["top", "--once"]] {
        let outcome = run(&server, arguments).await;
        assert!(outcome.stdout.contains("pid 1 "), "{}", outcome.stdout);
        assert!(outcome.stdout.contains(" providers ─"), "{}", outcome.stdout);
        assert!(!outcome.stdout.contains('\u{1b}'), "a pipe gets no colours");
        assert_eq!(outcome.code, 0);
    }
    let outcome = run(&server, &["--json", "top"]).await;
    assert_eq!(outcome.json()["pid"], json!(1));
}

#[tokio::test]
async fn without_a_daemon_there_is_no_picture() {
    let mut server = Server::start();
    server.kill();
    let outcome = run(&server, &["top"]).await;
    assert_eq!((outcome.stdout.as_str(), outcome.code), ("", 3));
}
