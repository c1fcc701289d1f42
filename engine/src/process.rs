//! What the engine asks of the operating system about its own process: die with the daemon,
//! leave no core dump, and end at once. The only `unsafe` outside `llama`.
#![allow(unsafe_code, reason = "prctl, setrlimit and _exit have no safe form in std")]

use crate::log;

/// Asks the kernel to kill this process when the thread that started it ends, so that no
/// engine outlives its daemon. Elsewhere than on Linux the end of the socket has to do.
#[cfg(target_os = "linux")]
pub fn die_with_parent() {
    use std::os::unix::process::parent_id;

    let parent = parent_id();
    // SAFETY: PR_SET_PDEATHSIG takes one integer and touches no memory of ours.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if result != 0 {
        log::line(format_args!("cannot ask to be killed together with tandemd"));
    }
    // The daemon may have died before the kernel was told.
    if parent_id() != parent {
        exit_now(0);
    }
}

/// See the Linux version.
#[cfg(not(target_os = "linux"))]
pub fn die_with_parent() {}

/// Forbids core dumps: they would hold prompts, and take minutes for a large model.
pub fn forbid_core_dumps() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live `rlimit`, which the call only reads.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    if result != 0 {
        log::line(format_args!("cannot forbid core dumps"));
    }
}

/// Ends the process without running exit handlers: llama.cpp may be in the middle of a decode
/// on other threads, and its destructors must not run under them.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` does not return and has no precondition.
    unsafe { libc::_exit(code) }
}
